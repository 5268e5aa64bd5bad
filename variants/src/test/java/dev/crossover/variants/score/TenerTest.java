// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.score.Tener.Variant;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class TenerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Tener();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Tener(Variant.PAPER, true, 7));
  }

  @Override
  public int[] headDims() {
    return new int[] {4, 5, 7, 20, 33};
  }

  /// Scores are not divided by √d: at d = 33 they reach 40, where a relative error of 2^-23 of 100
  /// summed products moves a weight by up to 4e-5.
  @Override
  public double tolerance() {
    return 5e-5;
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> {
      double[][] waves = waves(shape);
      return Oracle.softmax(
          shape,
          mask,
          inputs.get("v"),
          (b, h, i, j) -> score((Tener) attention, shape, inputs, waves, b, h, i, j));
    };
  }

  private static double score(
      Tener tener, AttentionShape s, Tensors inputs, double[][] waves, int b, int h, int i, int j) {
    int d = s.headDim();
    int middle = waves.length / 2;
    float[] queries = inputs.get("q").data();
    float[] keys = inputs.get("k").data();
    float[] contentBias = inputs.get("content_bias").data();
    float[] positionBias = inputs.get("position_bias").data();
    int direction = tener.variant() == Variant.CODE ? 1 : -1;
    double score = 0;
    for (int c = 0; c < d; c++) {
      double q = queries[s.queryOffset(b, h) + i * d + c];
      double k = keys[s.keyOffset(b, h) + j * d + c];
      score += (q + contentBias[h * d + c]) * k;
      score += (q + positionBias[h * d + c]) * waves[middle + direction * (j - i)][c];
      score += tener.variant() == Variant.CODE ? k * waves[middle + i - j][c] : 0;
    }
    return tener.scaled() ? score / Math.sqrt(d) : score;
  }

  /// Waves of all distances, the distance 0 in the middle.
  private static double[][] waves(AttentionShape s) {
    int farthest = Math.max(s.querySeqLen(), s.keySeqLen());
    double[][] waves = new double[2 * farthest + 1][s.headDim()];
    for (int x = -farthest; x <= farthest; x++) {
      for (int c = 0; c < s.headDim(); c++) {
        waves[farthest + x][c] = wave(x, c, s.headDim());
      }
    }
    return waves;
  }

  private static double wave(int x, int c, int d) {
    int p = d / 2;
    if (c >= 2 * p) {
      return 0;
    }
    double angle = x * Math.exp(-(c % p) * Math.log(10000) / (p - 1));
    return c < p ? Math.sin(angle) : Math.cos(angle);
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, TenerTest::drawn, reference());
  }

  @Test
  void gradientsOfRandomProblemsAgreeWithDifferences() {
    RandomGradients.check(60, 2, tolerance(), TenerTest::drawn, reference());
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    Tener tener = new Tener(r.of(Variant.values()), r.chance(2), 5);
    AttentionShape s = r.shape(tener);
    int d = s.headDim() + 3;
    return r.problem(
        tener,
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
    return GoldenTests.of(Tener.class);
  }

  @Test
  void withoutPositionTermsAndBiasesItIsUnscaledSoftmax() {
    AttentionShape shape = AttentionShape.of(1, 2, 30, 8);
    Tensor w = Draws.gaussian(1, 2, 8);
    Tensor q = Tensor.zeros(1, 2, 30, 8);
    for (int e = 0; e < q.size(); e++) {
      q.data()[e] = -w.data()[e / 240 * 8 + e % 8];
    }
    Tensors inputs =
        Inputs.of(attention(), shape, 2)
            .with("q", q)
            .with("content_bias", Tensor.zeros(2, 8))
            .with("position_bias", w);
    double[] softmax =
        Oracle.softmax(shape, Mask.none(), q, inputs.get("k"), inputs.get("v"), 1, null);
    Tensor out = Forward.of(new Tener(Variant.PAPER, false, 1), Mask.none(), inputs);
    assertTrue(Forward.maxDifference(softmax, out) < 1e-5, "q + w = 0");
  }

  @Test
  void shiftingTheSequenceChangesNothing() {
    AttentionShape shape = AttentionShape.of(1, 1, 20, 8);
    AttentionShape longer = AttentionShape.of(1, 1, 300, 8);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    Tensors shifted = Tensors.NONE;
    for (String name : List.of("q", "k", "v")) {
      Tensor x = Inputs.filledLike(Tensor.zeros(1, 1, 300, 8), Float.NaN);
      System.arraycopy(inputs.get(name).data(), 0, x.data(), 280 * 8, 160);
      shifted = shifted.with(name, x);
    }
    boolean[] real = new boolean[300];
    java.util.Arrays.fill(real, 280, 300, true);
    for (Attention tener : instances()) {
      Tensor expected = Forward.of(tener, Mask.none(), inputs);
      Tensor out = Forward.of(tener, Mask.keys(300, real), shifted);
      Tensor tail = Inputs.block(out, new int[] {0, 0, 280, 0}, tener.outputShape(shape));
      assertTrue(Forward.maxDifference(expected, tail) < tolerance(), longer.toString());
    }
  }

  @Test
  void directionMattersUnlikeDistanceAlone() {
    AttentionShape shape = AttentionShape.of(1, 1, 3, 4);
    Tensors inputs =
        Tensors.qkv(
                Tensor.zeros(1, 1, 3, 4),
                Tensor.zeros(1, 1, 3, 4),
                Tensor.of(new float[] {1, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0}, 1, 1, 3, 4))
            .with("content_bias", Tensor.zeros(1, 4))
            .with("position_bias", Tensor.of(new float[] {1, 0, 0, 0}, 1, 4));
    Tensor code = Forward.of(new Tener(), Mask.none(), inputs);
    double before = Math.exp(Math.sin(-1));
    double after = Math.exp(Math.sin(1));
    assertEquals(before / (before + 1 + after), code.data()[4], 1e-6);
    assertEquals(after / (before + 1 + after), code.data()[5], 1e-6);
    Tensor paper = Forward.of(new Tener(Variant.PAPER, false, 1), Mask.none(), inputs);
    assertEquals(code.data()[4], paper.data()[5], 1e-6, shape + ": the sign is opposite");
  }

  @Test
  void paperAndCodeDifferInDirectionAndKeyTerm() {
    AttentionShape shape = AttentionShape.of(1, 1, 12, 8);
    Tensors inputs = Inputs.of(attention(), shape, 4);
    Tensor code = Forward.of(new Tener(), Mask.none(), inputs);
    Tensor paper = Forward.of(new Tener(Variant.PAPER, false, 42), Mask.none(), inputs);
    assertTrue(Forward.maxDifference(code, paper) > 0.1);
    Tensors symmetric = inputs.with("k", Tensor.zeros(1, 1, 12, 8));
    Tensor reversed =
        Forward.of(new Tener(Variant.PAPER, false, 42), Mask.none(), reversedRows(symmetric));
    Tensor expected = reversedRows(Forward.of(new Tener(), Mask.none(), symmetric));
    assertTrue(Forward.maxDifference(expected, reversed) < 1e-5, "without keys: mirrored");
  }

  @Test
  void widthsWithoutTwoFrequenciesAreRefusedByName() {
    AttentionShape narrow = AttentionShape.of(1, 1, 5, 3);
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> new Tener().plan(narrow, Mask.none(), 1));
    assertTrue(error.getMessage().contains("headDim must be >= 4"), error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new Tener().decode(narrow));
  }

  private static Tensors reversedRows(Tensors inputs) {
    Tensors reversed = Tensors.NONE;
    for (int t = 0; t < inputs.size(); t++) {
      reversed = reversed.with(inputs.name(t), reversedRows(inputs.tensor(t)));
    }
    return reversed;
  }

  private static Tensor reversedRows(Tensor x) {
    Tensor y = Tensor.zeros(x.shape());
    int width = x.extent(3);
    int rows = x.size() / width;
    for (int r = 0; r < rows; r++) {
      System.arraycopy(x.data(), r * width, y.data(), (rows - 1 - r) * width, width);
    }
    return y;
  }
}
