// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions.Rope;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.score.Differential.Grouping;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class DifferentialTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Differential();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), rotated(Grouping.FLAT, 0.2, Rope.NONE));
  }

  private static Differential rotated(Grouping grouping, double lambdaInit, Rope rope) {
    return new Differential(
        lambdaInit, 1e-5, grouping, rope, 100, OptionalInt.empty(), OptionalDouble.empty(), 3);
  }

  /// The outputs of both maps are right to 3e-7; the norm divides their difference by √eps = 3e-3
  /// at least, and by 0.2 of a value where one key is seen.
  @Override
  public double tolerance() {
    return 1e-4;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.VALUE_COLUMNS_INDEPENDENT, "the norm of a row mixes its columns",
        Claim.GROUPED_EQUALS_REPEATED, "key heads of a pair are repeated as pairs");
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("norm_weight");
  }

  @Override
  public Reference reference() {
    return DifferentialTest::expected;
  }

  private static double[] expected(
      Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    Differential differential = (Differential) attention;
    int dv = s.valueDim();
    int offset =
        mask.isCausal()
            ? mask.causalOffset(s.querySeqLen(), s.keySeqLen())
            : s.keySeqLen() - s.querySeqLen();
    double[][] queries = turned(differential, inputs, "q", offset);
    double[][] keys = turned(differential, inputs, "k", 0);
    double[] first = map(differential, s, mask, inputs, queries, keys, 0);
    double[] second = map(differential, s, mask, inputs, queries, keys, 1);
    double lambda =
        Math.exp(product(inputs, "lambda_q1", "lambda_k1"))
            - Math.exp(product(inputs, "lambda_q2", "lambda_k2"))
            + differential.lambdaInit();
    double[] out = new double[first.length];
    for (int row = 0; row < out.length; row += dv) {
      double squares = 0;
      for (int e = row; e < row + dv; e++) {
        out[e] = first[e] - lambda * second[e];
        squares += out[e] * out[e] / dv;
      }
      for (int e = row; e < row + dv; e++) {
        double weight = inputs.has("norm_weight") ? inputs.get("norm_weight").data()[e - row] : 1;
        out[e] *=
            (1 - differential.lambdaInit()) * weight / Math.sqrt(squares + differential.eps());
      }
    }
    return out;
  }

  private static double product(Tensors inputs, String a, String b) {
    double sum = 0;
    for (int c = 0; c < inputs.get(a).size(); c++) {
      sum += (double) inputs.get(a).data()[c] * inputs.get(b).data()[c];
    }
    return sum;
  }

  /// A_c v of all heads.
  private static double[] map(
      Differential differential,
      AttentionShape s,
      Mask mask,
      Tensors inputs,
      double[][] queries,
      double[][] keys,
      int c) {
    int d = s.headDim();
    int group = s.groupSize();
    return Oracle.softmax(
        s,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int keyHead =
              differential.grouping() == Grouping.PAIRED
                  ? 2 * (h / group) + c
                  : (2 * h + c) / group;
          double[] query = queries[(b * 2 * s.numHeads() + 2 * h + c) * s.querySeqLen() + i];
          double[] key = keys[(b * 2 * s.numKeyValueHeads() + keyHead) * s.keySeqLen() + j];
          double score = 0;
          for (int a = 0; a < d; a++) {
            score += query[a] * key[a];
          }
          return score * differential.scale().orElse(1 / Math.sqrt(d));
        });
  }

  /// Every row of `[batch, heads, n, d]`, turned by its position.
  private static double[][] turned(
      Differential differential, Tensors inputs, String name, int offset) {
    Tensor x = inputs.get(name);
    int d = x.extent(3);
    double[][] rows = new double[x.size() / d][];
    for (int row = 0; row < rows.length; row++) {
      rows[row] = turned(differential, inputs, name, row * d, d, row % x.extent(2) + offset);
    }
    return rows;
  }

  private static double[] turned(
      Differential differential, Tensors inputs, String name, int at, int d, int position) {
    double[] row = new double[d];
    for (int a = 0; a < d; a++) {
      row[a] = inputs.get(name).data()[at + a];
    }
    int pairs = differential.rope() == Rope.NONE ? 0 : differential.ropeDim().orElse(d) / 2;
    for (int a = 0; a < pairs; a++) {
      boolean half = differential.rope() == Rope.HALF;
      int x = half ? a : 2 * a;
      int y = half ? a + pairs : 2 * a + 1;
      double frequency =
          inputs.has("rope_frequencies")
              ? inputs.get("rope_frequencies").data()[a]
              : Math.pow(differential.ropeBase(), -(double) a / pairs);
      double cos = Math.cos(position * frequency);
      double sin = Math.sin(position * frequency);
      double turned = row[x] * cos - row[y] * sin;
      row[y] = row[y] * cos + row[x] * sin;
      row[x] = turned;
    }
    return row;
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, tolerance(), DifferentialTest::drawn, DifferentialTest::expected);
  }

  @Test
  void gradientsOfRandomProblemsAgreeWithDifferences() {
    RandomGradients.check(40, 2, tolerance(), DifferentialTest::drawn, DifferentialTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    Rope rope = r.of(Rope.values());
    Differential differential =
        new Differential(
            r.of(0.2, 0.5, -0.3),
            r.of(1e-5, 1e-3),
            r.of(Grouping.values()),
            rope,
            r.of(10000.0, 50.0),
            r.of(OptionalInt.empty(), OptionalInt.of(2)),
            r.of(OptionalDouble.empty(), OptionalDouble.of(0.4)),
            r.from(1, 9));
    AttentionShape s = r.shape(differential);
    int d = 2 * s.headDim();
    return r.problem(
        differential,
        new AttentionShape(
            s.batchSize(),
            s.numHeads(),
            s.numKeyValueHeads(),
            s.querySeqLen(),
            s.keySeqLen(),
            d,
            d,
            s.valueDim()));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Differential.class);
  }

  @Test
  void rotationsKeepTheContractOfDecoding() {
    for (Rope rope : List.of(Rope.HALF, Rope.INTERLEAVED)) {
      for (Grouping grouping : Grouping.values()) {
        Differential differential = rotated(grouping, 0.3, rope);
        AttentionShape shape = new AttentionShape(2, 6, 2, 9, 9, 4, 4, 5);
        Tensors inputs =
            Inputs.withParameters(differential, shape, Inputs.of(differential, shape, 5));
        double[] whole = expected(differential, shape, Mask.causal(), inputs);
        var session = differential.decode(shape);
        for (int t = 0; t < 9; t++) {
          Tensors token = inputs;
          for (String name : List.of("q", "k", "v")) {
            Tensor x = inputs.get(name);
            token =
                token.with(
                    name,
                    Inputs.block(
                        x, new int[] {0, 0, t, 0}, new int[] {2, x.extent(1), 1, x.extent(3)}));
          }
          Tensor out = Tensor.zeros(2, 6, 1, 5);
          session.step(token, out);
          for (int e = 0; e < out.size(); e++) {
            assertEquals(whole[(e / 5 * 9 + t) * 5 + e % 5], out.data()[e], 1e-4);
          }
        }
        assertEquals(4L * 2 * 2 * 9 * (2 * 4 + 5), session.stateBytes());
      }
    }
  }

  @Test
  void equalMapsLeaveNormalisedSoftmax() {
    AttentionShape shape = AttentionShape.of(1, 1, 40, 8);
    Tensors plain = Inputs.of(new Tiled(), shape, 6);
    Tensors both =
        Tensors.qkv(
            Inputs.repeated(plain.get("q"), 1, 2),
            Inputs.repeated(plain.get("k"), 1, 2),
            plain.get("v"));
    for (double init : new double[] {0.5, 1.5}) {
      Differential exactNorm =
          new Differential(
              init,
              0,
              Grouping.PAIRED,
              Rope.NONE,
              10000,
              OptionalInt.empty(),
              OptionalDouble.empty(),
              1);
      Tensor out = Forward.of(exactNorm, Mask.causal(), both);
      Tensor softmax = Forward.of(new Tiled(), Mask.causal(), plain);
      for (int row = 0; row < softmax.size(); row += 8) {
        double squares = 0;
        for (int c = 0; c < 8; c++) {
          squares += Math.pow(softmax.data()[row + c], 2) / 8;
        }
        for (int c = 0; c < 8; c++) {
          double unit = softmax.data()[row + c] / Math.sqrt(squares);
          double sign = init < 1 ? 1 : -1;
          assertEquals((1 - init) * sign * unit, out.data()[row + c], 2e-5, "row " + row / 8);
        }
      }
    }
  }

  @Test
  void groupingsDifferWhereHeadsShareKeysOnly() {
    AttentionShape own = AttentionShape.of(1, 2, 20, 8);
    AttentionShape shared = new AttentionShape(1, 4, 2, 20, 20, 8, 8, 8);
    Attention paired = new Differential(0.4, Grouping.PAIRED);
    Attention flat = new Differential(0.4, Grouping.FLAT);
    Tensors inputs = Inputs.of(paired, own, 7);
    assertEquals(
        0,
        Forward.maxDifference(
            Forward.of(paired, Mask.causal(), inputs), Forward.of(flat, Mask.causal(), inputs)));
    Tensors grouped = Inputs.of(paired, shared, 8);
    assertTrue(
        Forward.maxDifference(
                Forward.of(paired, Mask.causal(), grouped),
                Forward.of(flat, Mask.causal(), grouped))
            > 0.1);
  }

  @Test
  void theFirstMapOfAdaptedInputsIsWhatWasGiven() {
    AttentionShape shape = AttentionShape.of(2, 3, 5, 4);
    Tensors plain = Inputs.of(new Tiled(), shape, 9);
    Tensors adapted = new Differential().adapt(shape, plain, 9);
    for (int head = 0; head < 6; head++) {
      for (int e = 0; e < 20; e++) {
        assertEquals(
            plain.get("k").data()[head * 20 + e], adapted.get("k").data()[2 * head * 20 + e]);
      }
    }
    assertEquals(shape, new Differential().shapeOf(adapted));
  }

  @Test
  void headsThatAreNoPairsAreRefusedByName() {
    Tensors odd =
        Tensors.qkv(
            Draws.gaussian(1, 1, 3, 4, 4), Draws.gaussian(2, 1, 2, 4, 4), Tensor.zeros(1, 1, 4, 4));
    var error = assertThrows(IllegalArgumentException.class, () -> new Differential().shapeOf(odd));
    assertTrue(error.getMessage().contains("even number of heads"), error.getMessage());
  }
}
