// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.hashing.HyperAttention.CodeOrder;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.function.IntFunction;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class HyperAttentionTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new HyperAttention(4, 5, 8);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), hyper(3, 5, 0, 3, false, CodeOrder.RANK));
  }

  private static HyperAttention hyper(
      int bits, int block, int samples, int shortest, boolean mask, CodeOrder order) {
    return new HyperAttention(
        bits, block, samples, shortest, mask, order, OptionalDouble.empty(), 42);
  }

  @Override
  public int[] blockBorders() {
    return new int[] {8, 16};
  }

  @Override
  public Map<Claim, String> exemptions() {
    String moves = "later tokens move earlier queries between blocks, in the authors' code too";
    return Map.of(
        Claim.LATER_TOKENS_IGNORED, moves,
        Claim.NAN_BEHIND_CAUSAL_ORDER, moves,
        Claim.GRADIENTS_NAN_BEHIND_CAUSAL_ORDER, moves,
        Claim.PREFIX_EQUALS_SHORTER, "where halves lie depends on the length");
  }

  @Override
  public Reference reference() {
    return HyperAttentionTest::expected;
  }

  /// The recursion of the paper, step by step in double precision.
  private static double[] expected(Attention attention, AttentionShape s, Mask mask, Tensors in) {
    List<double[]> out = new ArrayList<>();
    for (int problem = 0; problem < s.problems(); problem++) {
      Problem whole = new Problem((HyperAttention) attention, s, in, problem);
      List<Integer> tokens = new ArrayList<>();
      for (int i = 0; i < s.querySeqLen(); i++) {
        tokens.add(i);
      }
      Part part = mask.isCausal() ? whole.causal(tokens) : whole.square(tokens, tokens);
      out.addAll(List.of(part.out));
    }
    return out.stream().flatMapToDouble(Arrays::stream).toArray();
  }

  /// Outputs and log-sum-exps of some queries.
  private record Part(double[][] out, double[] lse) {
    Part merged(Part other) {
      double[][] sums = new double[out.length][];
      double[] total = new double[out.length];
      for (int i = 0; i < out.length; i++) {
        double c = 1 / (1 + Math.exp(other.lse[i] - lse[i]));
        sums[i] = new double[out[i].length];
        for (int x = 0; x < sums[i].length; x++) {
          sums[i][x] = c * out[i][x] + (1 - c) * other.out[i][x];
        }
        total[i] = lse[i] - Math.log(c);
      }
      return new Part(sums, total);
    }
  }

  /// One head; token −1 is a zero row.
  private record Problem(HyperAttention attention, AttentionShape s, Tensors in, int problem) {
    Part causal(List<Integer> tokens) {
      int n = tokens.size();
      if (n <= attention.minSeqLen()) {
        return softmax(tokens, i -> tokens.subList(0, i + 1), 0);
      }
      List<Integer> even = new ArrayList<>(tokens);
      if (n % 2 == 1) {
        even.add(-1);
      }
      List<Integer> early = even.subList(0, even.size() / 2);
      List<Integer> late = even.subList(even.size() / 2, even.size());
      Part first = causal(early);
      Part second = causal(late).merged(square(late, early));
      double[][] out = new double[n][];
      double[] lse = new double[n];
      for (int i = 0; i < n; i++) {
        Part from = i < early.size() ? first : second;
        out[i] = from.out[i % early.size()];
        lse[i] = from.lse[i % early.size()];
      }
      return new Part(out, lse);
    }

    Part square(List<Integer> queries, List<Integer> keys) {
      int n = queries.size();
      if (n < attention.minSeqLen()) {
        return softmax(queries, _ -> keys, 0);
      }
      int b = attention.blockSize();
      List<Integer> sortedQueries = sorted("q", queries);
      List<Integer> sortedKeys = sorted("k", keys);
      List<Integer> padded = new ArrayList<>();
      for (int slot : sortedKeys) {
        padded.add(keys.get(slot));
      }
      while (padded.size() % b != 0) {
        padded.add(-1);
      }
      List<Integer> rows = sortedQueries.stream().map(queries::get).toList();
      Part part = softmax(rows, i -> padded.subList(i / b * b, i / b * b + b), 0);
      int m = attention.sampleSize();
      if (m > 0 && n > b) {
        Part sampled =
            softmax(rows, i -> samples(i / b, sortedKeys, keys), Math.log((double) n / m));
        part = part.merged(sampled);
      }
      double[][] out = new double[n][];
      double[] lse = new double[n];
      for (int slot = 0; slot < n; slot++) {
        out[sortedQueries.get(slot)] = part.out[slot];
        lse[sortedQueries.get(slot)] = part.lse[slot];
      }
      return new Part(out, lse);
    }

    private List<Integer> samples(int block, List<Integer> sortedKeys, List<Integer> keys) {
      List<Integer> seen = new ArrayList<>();
      int m = attention.sampleSize();
      for (int x = 0; x < m; x++) {
        int position = (int) in.get("samples").data()[problem * m + x] % keys.size();
        if (!attention.maskOwnBlock() || position / attention.blockSize() != block) {
          seen.add(keys.get(sortedKeys.get(position)));
        }
      }
      return seen;
    }

    /// Places within the list, stably by code.
    private List<Integer> sorted(String name, List<Integer> tokens) {
      List<Integer> places = new ArrayList<>();
      for (int place = 0; place < tokens.size(); place++) {
        places.add(place);
      }
      places.sort(Comparator.comparingInt(place -> code(name, tokens.get(place))));
      return places;
    }

    private int code(String name, int token) {
      int r = attention.lshNumProjs();
      int bin = 0;
      for (int a = 0; a < r && token >= 0; a++) {
        double product = 0;
        for (int c = 0; c < s.headDim(); c++) {
          product += at(name, token, c) * in.get("projections").data()[c * r + a];
        }
        bin += product > 0 ? 1 << a : 0;
      }
      if (attention.codeOrder() == CodeOrder.GRAY) {
        return bin ^ bin / 2;
      }
      int rank = 0;
      while ((rank ^ rank / 2) != bin) {
        rank++;
      }
      return rank;
    }

    private double at(String name, int token, int c) {
      int width = name.equals("v") ? s.valueDim() : s.headDim();
      return token < 0 ? 0 : in.get(name).data()[(problem * s.keySeqLen() + token) * width + c];
    }

    private Part softmax(List<Integer> queries, IntFunction<List<Integer>> seen, double shift) {
      double[][] out = new double[queries.size()][s.valueDim()];
      double[] lse = new double[queries.size()];
      double scale = attention.scale().orElse(1 / Math.sqrt(s.headDim()));
      for (int i = 0; i < lse.length; i++) {
        List<Integer> keys = seen.apply(i);
        double[] scores = new double[keys.size()];
        double most = Double.NEGATIVE_INFINITY;
        for (int j = 0; j < scores.length; j++) {
          for (int c = 0; c < s.headDim(); c++) {
            scores[j] += scale * at("q", queries.get(i), c) * at("k", keys.get(j), c);
          }
          scores[j] += shift;
          most = Math.max(most, scores[j]);
        }
        double sum = 0;
        for (double score : scores) {
          sum += Math.exp(score - most);
        }
        lse[i] = keys.isEmpty() ? Double.NEGATIVE_INFINITY : most + Math.log(sum);
        for (int j = 0; j < scores.length; j++) {
          for (int x = 0; x < s.valueDim(); x++) {
            out[i][x] += Math.exp(scores[j] - most) / sum * at("v", keys.get(j), x);
          }
        }
      }
      return new Part(out, lse);
    }
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(HyperAttention.class);
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(80, 51, r -> r.problem(drawn(r)), reference());
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(50, 53, 2e-5, r -> r.problem(drawn(r)), reference());
  }

  private static HyperAttention drawn(RandomCases r) {
    return new HyperAttention(
        r.from(1, 7),
        r.from(1, 12),
        r.of(0, 1, 6, 20),
        r.of(1, 4, 9, 30),
        r.chance(2),
        r.of(CodeOrder.values()),
        r.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(0.3),
        r.from(1, 9));
  }

  @Test
  void shortSequencesAndOneBlockWithoutSamplesAreExact() {
    AttentionShape shape = AttentionShape.of(2, 2, 60, 8);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    for (Mask mask : List.of(Mask.none(), Mask.causal())) {
      double[] exact =
          Oracle.softmax(
              shape,
              mask,
              inputs.get("q"),
              inputs.get("k"),
              inputs.get("v"),
              1 / Math.sqrt(8),
              null);
      Tensor brief = Forward.of(new HyperAttention(4, 5, 61), mask, inputs);
      assertTrue(Forward.maxDifference(exact, brief) < 2e-5, mask.label());
      Tensor block = Forward.of(new HyperAttention(60, 0, 16), Mask.none(), inputs);
      double[] whole =
          Oracle.softmax(
              shape,
              Mask.none(),
              inputs.get("q"),
              inputs.get("k"),
              inputs.get("v"),
              1 / Math.sqrt(8),
              null);
      assertTrue(Forward.maxDifference(whole, block) < 2e-5, mask.label());
    }
  }

  /// The error falls as samples are added: a mean of m unbiased terms.
  @Test
  void errorFallsWithTheRootOfTheNumberOfSamples() {
    AttentionShape shape = AttentionShape.of(1, 4, 256, 16);
    Tensors inputs = Inputs.of(new HyperAttention(16, 4, 1), shape, 3);
    double[] exact =
        Oracle.softmax(
            shape, Mask.none(), inputs.get("q"), inputs.get("k"), inputs.get("v"), 0.25, null);
    double few = error(exact, 16, inputs);
    double many = error(exact, 256, inputs);
    assertTrue(many < few / 2.5, few + " " + many);
  }

  private static double error(double[] exact, int samples, Tensors inputs) {
    Tensor out = Forward.of(new HyperAttention(16, samples, 1), Mask.none(), inputs);
    double squares = 0;
    for (int e = 0; e < exact.length; e++) {
      squares += Math.pow(exact[e] - out.data()[e], 2);
    }
    return Math.sqrt(squares);
  }

  /// Two blocks of two keys, equal scores, one sample of weight 4: the first key.
  @Test
  void sampledKeysOfTheOwnBlockCountAgainInTheCode() {
    Tensor zero = Tensor.zeros(1, 1, 4, 3);
    Tensor v = Tensor.of(new float[] {1, 3, 5, 7}, 1, 1, 4, 1);
    Tensors inputs =
        Tensors.qkv(zero, zero, v)
            .with("projections", Tensor.zeros(3, 2))
            .with("samples", Tensor.zeros(1, 1, 1));
    Tensor paper = Forward.of(hyper(2, 2, 1, 1, true, CodeOrder.GRAY), Mask.none(), inputs);
    Tensor code = Forward.of(hyper(2, 2, 1, 1, false, CodeOrder.GRAY), Mask.none(), inputs);
    float other = (5 + 7 + 4 * 1) / 6f;
    float again = (1 + 3 + 4 * 1) / 6f;
    assertArrayEquals(new float[] {2, 2, other, other}, paper.data(), 1e-6f);
    assertArrayEquals(new float[] {again, again, other, other}, code.data(), 1e-6f);
  }

  @Test
  void neighboursInTheOrderOfRanksDifferInOneBit() {
    int[] bins = new int[8];
    int[] gray = new int[8];
    for (int bin = 0; bin < 8; bin++) {
      bins[HyperSquares.ordered(bin, CodeOrder.RANK)] = bin;
      gray[HyperSquares.ordered(bin, CodeOrder.GRAY)] = bin;
    }
    int far = 0;
    for (int place = 1; place < 8; place++) {
      assertEquals(1, Integer.bitCount(bins[place] ^ bins[place - 1]));
      far += Integer.bitCount(gray[place] ^ gray[place - 1]) > 1 ? 1 : 0;
    }
    assertTrue(far > 0);
  }

  @Test
  void badSettingsAndSamplesAreRefusedByName() {
    requireNamed("block_size", () -> new HyperAttention(0, 1, 1));
    requireNamed("sample_size", () -> new HyperAttention(1, -1, 1));
    requireNamed("min_seq_len", () -> new HyperAttention(1, 1, 0));
    requireNamed("lsh_num_projs", () -> hyper(21, 1, 1, 1, true, CodeOrder.GRAY));
    AttentionShape shape = AttentionShape.of(1, 1, 20, 4);
    Tensors inputs = Inputs.of(attention(), shape, 3).with("samples", Draws.constant(20, 1, 1, 5));
    requireNamed("samples", () -> Forward.of(attention(), Mask.none(), inputs));
    requireNamed("offset", () -> attention().plan(shape, Mask.causal(1), 1));
  }

  private static void requireNamed(String name, Runnable call) {
    String message =
        String.valueOf(assertThrows(IllegalArgumentException.class, call::run).getMessage());
    assertTrue(message.contains(name), message);
  }
}
