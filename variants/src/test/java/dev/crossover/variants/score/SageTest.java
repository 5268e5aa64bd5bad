// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
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
import dev.crossover.variants.score.Sage.Exponential;
import dev.crossover.variants.score.Sage.MaskedRows;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class SageTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Sage(8, 4);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Sage(5, 16, false, Exponential.BASE_E, MaskedRows.LEFT_OUT));
  }

  @Override
  public int[] blockBorders() {
    return new int[] {8, 16};
  }

  @Override
  public Map<Claim, String> exemptions() {
    String later = "a mean and the scale of a block know later tokens";
    return Map.of(
        Claim.LATER_TOKENS_IGNORED, later,
        Claim.NAN_BEHIND_CAUSAL_ORDER, later,
        Claim.PREFIX_EQUALS_SHORTER, later);
  }

  @Override
  public Reference reference() {
    return SageTest::expected;
  }

  /// Whole numbers and scales in float32 as the kernel has them, everything else in double
  /// precision.
  private static double[] expected(
      Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    Sage sage = (Sage) attention;
    boolean two = sage.exponential() == Exponential.BASE_2;
    float factor = (float) (1 / Math.sqrt(s.headDim()) * (two ? 1.44269504 : 1));
    Tensor q = inputs.get("q").copy();
    for (int e = 0; e < q.size(); e++) {
      q.data()[e] *= factor;
    }
    Tensor k = inputs.get("k").copy();
    if (sage.smoothKey()) {
      smooth(sage, mask, k);
    }
    boolean self = s.querySeqLen() == s.keySeqLen();
    double[] queries = coded(sage, self ? mask : Mask.none(), q, sage.queryBlock());
    double[] keys = coded(sage, mask, k, sage.keyBlock());
    int d = s.headDim();
    return Oracle.softmax(
        s,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          double score = 0;
          for (int c = 0; c < d; c++) {
            score += queries[s.queryOffset(b, h) + i * d + c] * keys[s.keyOffset(b, h) + j * d + c];
          }
          return two ? score * Math.log(2) : score;
        });
  }

  private static boolean counts(Sage sage, Mask mask, int batch, int j) {
    return sage.maskedRows() == MaskedRows.COUNTED || mask.isRealKey(batch, j);
  }

  private static void smooth(Sage sage, Mask mask, Tensor k) {
    int n = k.extent(2);
    int d = k.extent(3);
    for (int head = 0; head < k.extent(0) * k.extent(1); head++) {
      for (int c = 0; c < d; c++) {
        double sum = 0;
        int count = 0;
        for (int j = 0; j < n; j++) {
          if (counts(sage, mask, head / k.extent(1), j)) {
            sum += k.data()[(head * n + j) * d + c];
            count++;
          }
        }
        for (int j = 0; j < n && count > 0; j++) {
          k.data()[(head * n + j) * d + c] -= (float) (sum / count);
        }
      }
    }
  }

  /// Code times scale.
  private static double[] coded(Sage sage, Mask mask, Tensor x, int block) {
    int n = x.extent(2);
    int d = x.extent(3);
    double[] coded = new double[x.size()];
    for (int row = 0; row < x.size() / d; row++) {
      int batch = row / n / x.extent(1);
      int first = row % n / block * block;
      boolean shared = counts(sage, mask, batch, row % n);
      float largest = 0;
      for (int j = first; j < Math.min(n, first + block); j++) {
        if (shared ? counts(sage, mask, batch, j) : j == row % n) {
          for (int c = 0; c < d; c++) {
            largest = Math.max(largest, Math.abs(x.data()[(row / n * n + j) * d + c]));
          }
        }
      }
      float sigma = largest / 127f;
      for (int e = row * d; e < (row + 1) * d && sigma > 0; e++) {
        float share = x.data()[e] / sigma;
        coded[e] = (double) sigma * (int) (share + (share < 0 ? -0.5f : 0.5f));
      }
    }
    return coded;
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(80, 1, SageTest::drawn, SageTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    return r.problem(
        new Sage(
            r.from(1, 40),
            r.from(1, 40),
            r.chance(2),
            r.of(Exponential.values()),
            MaskedRows.LEFT_OUT));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Sage.class);
  }

  @Test
  void hiddenKeysCountInTheCodeOnly() {
    AttentionShape shape = AttentionShape.of(1, 1, 12, 8);
    Tensors inputs = Inputs.of(attention(), shape, 2);
    Tensor other = inputs.get("k").copy();
    for (int e = 9 * 8; e < 12 * 8; e++) {
      other.data()[e] *= 3;
    }
    Mask mask = Mask.lengths(12, 9);
    Sage counted = new Sage(8, 4, true, Exponential.BASE_2, MaskedRows.COUNTED);
    assertEquals(
        0,
        Forward.maxDifference(
            Forward.of(attention(), mask, inputs),
            Forward.of(attention(), mask, inputs.with("k", other))));
    Tensor before = Forward.of(counted, mask, inputs);
    double moved =
        Forward.maxDifference(before, Forward.of(counted, mask, inputs.with("k", other)));
    assertTrue(moved > 1e-4 && moved < 0.1, "by a step of the codes: " + moved);
    assertArrayEquals(
        expected(counted, shape, mask, inputs), toDoubles(before), 1e-5, "as the code counts them");
  }

  private static double[] toDoubles(Tensor tensor) {
    double[] values = new double[tensor.size()];
    for (int e = 0; e < values.length; e++) {
      values[e] = tensor.data()[e];
    }
    return values;
  }

  @Test
  void anOffsetThatAllKeysShareCostsAccuracyOnlyWithoutSmoothing() {
    AttentionShape shape = AttentionShape.of(1, 2, 200, 16);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    Tensor shifted = inputs.get("k").copy();
    for (int e = 0; e < shifted.size(); e++) {
      shifted.data()[e] += 60 * (e % 2);
    }
    Tensors offset = inputs.with("k", shifted);
    Tensor exact = Forward.of(new Tiled(), Mask.none(), offset);
    double smoothed = Forward.maxDifference(exact, Forward.of(attention(), Mask.none(), offset));
    Sage plain = new Sage(8, 4, false, Exponential.BASE_2, MaskedRows.LEFT_OUT);
    double without = Forward.maxDifference(exact, Forward.of(plain, Mask.none(), offset));
    assertTrue(smoothed < 0.02, "smoothed " + smoothed);
    assertTrue(without > 5 * smoothed, without + " without, " + smoothed + " with");
  }

  @Test
  void smallerBlocksAreMoreAccurateWhereRowsDiffer() {
    AttentionShape shape = AttentionShape.of(1, 2, 256, 16);
    Tensors inputs = Inputs.of(attention(), shape, 4);
    Tensor k = inputs.get("k").copy();
    for (int row = 0; row < k.size() / 16; row++) {
      for (int c = 0; c < 16; c++) {
        k.data()[row * 16 + c] *= row % 64 == 0 ? 8 : 0.5f;
      }
    }
    Tensors uneven = inputs.with("k", k);
    Tensor exact = Forward.of(new Tiled(), Mask.none(), uneven);
    double small = Forward.maxDifference(exact, Forward.of(new Sage(1, 1), Mask.none(), uneven));
    double large = Forward.maxDifference(exact, Forward.of(new Sage(), Mask.none(), uneven));
    assertTrue(small * 1.5 < large, small + " and " + large);
  }

  @Test
  void equalKeysAndOneKeyAreExact() {
    Tensors equal =
        Tensors.qkv(
            Draws.gaussian(1, 1, 1, 9, 4),
            Draws.constant(1.7, 1, 1, 9, 4),
            Draws.gaussian(2, 1, 1, 9, 4));
    Tensor exact = Forward.of(new Tiled(), Mask.causal(), equal);
    assertTrue(Forward.maxDifference(exact, Forward.of(new Sage(), Mask.causal(), equal)) < 1e-6);
    Tensors one = Inputs.of(attention(), AttentionShape.of(1, 1, 1, 4), 5);
    assertEquals(0, Forward.maxDifference(one.get("v"), Forward.of(new Sage(), Mask.none(), one)));
  }

  @Test
  void aKeyThatIsNotFiniteReachesOnlyRowsThatSeeIt() {
    AttentionShape shape = AttentionShape.of(1, 1, 20, 4);
    Tensors inputs = Inputs.of(attention(), shape, 6);
    Tensor k = inputs.get("k").copy();
    k.data()[15 * 4] = Float.NaN;
    Tensor out = Forward.of(attention(), Mask.causal(), inputs.with("k", k));
    for (int e = 0; e < out.size(); e++) {
      assertEquals(e / 4 >= 15, Float.isNaN(out.data()[e]), "row " + e / 4);
    }
  }

  @Test
  void blocksWithoutRowsAreRefusedByName() {
    var error = assertThrows(IllegalArgumentException.class, () -> new Sage(0, 4));
    assertEquals("query_block must be >= 1, but was 0", error.getMessage());
    error = assertThrows(IllegalArgumentException.class, () -> new Sage(4, 0));
    assertEquals("key_block must be >= 1, but was 0", error.getMessage());
  }
}
