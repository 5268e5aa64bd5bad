// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.Tolerance;
import java.util.Arrays;
import java.util.List;
import java.util.OptionalDouble;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class TiledTest extends AttentionContract {
  private static final int RANDOM_CASES = 1000;

  @Override
  public Attention attention() {
    return new Tiled();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Tiled(OptionalDouble.of(0.5)));
  }

  @Override
  public int[] blockBorders() {
    return new int[] {16, 48, 64};
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Tiled.class);
  }

  @Test
  void aThousandRandomShapesAndMasksAgreeWithTheOracleToTheDerivedBound() {
    for (int seed = 0; seed < RANDOM_CASES; seed++) {
      Random random = new Random(seed);
      AttentionShape shape = randomShape(random);
      Mask mask = randomMask(random, shape);
      boolean biased = random.nextInt(4) == 0;
      // A larger scale spreads scores over hundreds, so that references have to be raised.
      double scale = Attention.defaultScale(shape) * (random.nextInt(5) == 0 ? 12 : 1);
      check(seed, shape, mask, biased, scale);
    }
  }

  private static AttentionShape randomShape(Random random) {
    int group = 1 + random.nextInt(3);
    int heads = 1 + random.nextInt(2);
    int[] narrow = {1, 3, 8, 16, 20, 32, 33, 64, 80};
    int[] wide = {96, 128, 200, 256, 511, 512};
    int[] widths = random.nextInt(8) == 0 ? wide : narrow;
    int d = widths[random.nextInt(widths.length)];
    int dv = random.nextBoolean() ? d : widths[random.nextInt(widths.length)];
    int nq = random.nextInt(random.nextInt(4) == 0 ? 300 : 40);
    int nk = random.nextInt(random.nextInt(4) == 0 ? 400 : 60);
    return new AttentionShape(1 + random.nextInt(2), heads * group, heads, nq, nk, d, d, dv);
  }

  private static Mask randomMask(Random random, AttentionShape s) {
    Mask.Causal order =
        random.nextBoolean() ? Mask.causal() : Mask.causal(random.nextInt(-5, s.keySeqLen() + 5));
    boolean[] real = new boolean[s.batchSize() * s.keySeqLen()];
    int kept = random.nextInt(10);
    for (int i = 0; i < real.length; i++) {
      real[i] = random.nextInt(10) < kept;
    }
    int[] lengths = random.ints(s.batchSize(), 0, s.keySeqLen() + 1).toArray();
    boolean anyPattern = s.keySeqLen() > 0 && random.nextBoolean();
    Mask.KeyPadding padding =
        anyPattern ? Mask.keys(s.keySeqLen(), real) : Mask.lengths(s.keySeqLen(), lengths);
    return switch (random.nextInt(4)) {
      case 0 -> Mask.none();
      case 1 -> order;
      case 2 -> padding;
      default -> Mask.both(order, padding);
    };
  }

  private static void check(int seed, AttentionShape s, Mask mask, boolean biased) {
    check(seed, s, mask, biased, Attention.defaultScale(s));
  }

  private static void check(int seed, AttentionShape s, Mask mask, boolean biased, double scale) {
    Tensor q = Draws.gaussian(seed, s.batchSize(), s.numHeads(), s.querySeqLen(), s.headDim());
    int kv = s.numKeyValueHeads();
    Tensor k = Draws.gaussian(seed + 1, s.batchSize(), kv, s.keySeqLen(), s.headDim());
    Tensor v = Draws.gaussian(seed + 2, s.batchSize(), kv, s.keySeqLen(), s.valueDim());
    Tensors inputs = Tensors.qkv(q, k, v);
    Tensor bias = Draws.gaussian(seed + 3, 1, s.numHeads(), s.querySeqLen(), s.keySeqLen());
    if (biased) {
      inputs = inputs.with("bias", bias);
    }
    Tensor out = Tensor.zeros(s.batchSize(), s.numHeads(), s.querySeqLen(), s.valueDim());
    Arrays.fill(out.data(), Float.NaN);
    Tensor lse = Tensor.zeros(s.batchSize(), s.numHeads(), s.querySeqLen());
    new Tiled(OptionalDouble.of(scale))
        .plan(s, mask, 1 + seed % 2)
        .forward(inputs, out, Tensors.NONE.with("lse", lse));

    double[] expected = Oracle.softmax(s, mask, q, k, v, scale, biased ? bias : null);
    Tensor size = Tensor.zeros(v.shape());
    for (int i = 0; i < v.size(); i++) {
      size.data()[i] = Math.abs(v.data()[i]);
    }
    double[] magnitude = Oracle.softmax(s, mask, q, k, size, scale, biased ? bias : null);
    double scores = scale * s.headDim() * largest(q) * largest(k) + (biased ? largest(bias) : 0);
    String what = "seed " + seed + " " + s + " " + mask + " biased " + biased;
    for (int i = 0; i < expected.length; i++) {
      double bound = Tolerance.ofAttention(s.headDim(), s.keySeqLen(), scores, magnitude[i]);
      assertWithin(expected[i], out.data()[i], bound, what);
    }
    checkLogSumExp(scale, s, mask, q, k, biased ? bias.data() : null, scores, lse, what);
  }

  private static void checkLogSumExp(
      double scale,
      AttentionShape s,
      Mask mask,
      Tensor q,
      Tensor k,
      float @org.jspecify.annotations.Nullable [] bias,
      double scores,
      Tensor lse,
      String what) {
    int row = 0;
    for (int b = 0; b < s.batchSize(); b++) {
      for (int h = 0; h < s.numHeads(); h++) {
        for (int i = 0; i < s.querySeqLen(); i++, row++) {
          double max = Double.NEGATIVE_INFINITY;
          double sum = 0;
          for (int j = 0; j < s.keySeqLen(); j++) {
            if (Oracle.sees(s, mask, b, i, j)) {
              int pair = (h * s.querySeqLen() + i) * s.keySeqLen() + j;
              double score =
                  scale * Oracle.dot(s, q, k, b, h, i, j) + (bias == null ? 0 : bias[pair]);
              double higher = Math.max(max, score);
              sum = sum * Math.exp(max - higher) + Math.exp(score - higher);
              max = higher;
            }
          }
          double expected = max + Math.log(sum);
          double bound =
              sum == 0 ? 0 : Tolerance.ofLogSumExp(s.headDim(), s.keySeqLen(), scores, expected);
          assertWithin(expected, lse.data()[row], bound, what + " lse");
        }
      }
    }
  }

  private static double largest(Tensor x) {
    double largest = 0;
    for (int i = 0; i < x.size(); i++) {
      largest = Math.max(largest, Math.abs(x.data()[i]));
    }
    return largest;
  }

  @Test
  void keysBeyondOnePartOfTheShortPathAgreeWithTheOracle() {
    for (int nq : new int[] {1, 2, 5, 16}) {
      AttentionShape shape = new AttentionShape(1, 2, 2, nq, 9000, 8, 8, 8);
      check(nq, shape, Mask.none(), false);
      check(nq, shape, Mask.causal(), false);
      check(nq, shape, Mask.lengths(9000, 4100), true);
    }
  }

  @Test
  void decodingAcrossBlocksOfTheCacheEqualsTheWholeSequence() {
    AttentionShape shape = new AttentionShape(1, 2, 1, 2100, 2100, 8, 8, 8);
    Tensors inputs =
        Tensors.qkv(
            Draws.gaussian(1, 1, 2, 2100, 8),
            Draws.gaussian(2, 1, 1, 2100, 8),
            Draws.gaussian(3, 1, 1, 2100, 8));
    Tensor whole = Tensor.zeros(1, 2, 2100, 8);
    new Tiled().plan(shape, Mask.causal(), 1).forward(inputs, whole);
    DecodeSession session = new Tiled().decode(shape, 2);
    session.prefill(rows(inputs, 0, 2040));
    Tensor out = Tensor.zeros(1, 2, 1, 8);
    for (int t = 2040; t < 2100; t++) {
      session.step(rows(inputs, t, t + 1), out);
      for (int h = 0; h < 2; h++) {
        for (int c = 0; c < 8; c++) {
          assertWithin(
              whole.data()[(h * 2100 + t) * 8 + c], out.data()[h * 8 + c], 2e-5, "token " + t);
        }
      }
    }
    assertEquals(2100L * 16 * Float.BYTES, session.stateBytes());
  }

  private static Tensors rows(Tensors inputs, int from, int to) {
    Tensors part = Tensors.NONE;
    for (String name : inputs.names()) {
      Tensor x = inputs.get(name);
      Tensor y = Tensor.zeros(1, x.extent(1), to - from, 8);
      for (int h = 0; h < x.extent(1); h++) {
        System.arraycopy(
            x.data(), (h * x.extent(2) + from) * 8, y.data(), h * (to - from) * 8, (to - from) * 8);
      }
      part = part.with(name, y);
    }
    return part;
  }
}
