// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ExactRowsTest {
  private static final AttentionShape SHAPE = new AttentionShape(2, 4, 2, 10, 10, 8, 8, 6);

  /// Two ways to the same numbers, one in double and one by the tiled kernels: they differ by the
  /// rounding of float32, a few units of 6e-8 over some ten operations.
  @Test
  void rowsAreThoseOfTheTiledBaselineToRounding() {
    boolean[] real = new boolean[20];
    java.util.Arrays.fill(real, true);
    real[3] = false;
    real[10] = false;
    for (Mask mask :
        new Mask[] {
          Mask.none(),
          Mask.causal(),
          Mask.keys(10, real),
          Mask.both(Mask.causal(), Mask.keys(10, real))
        }) {
      ExactTarget target = target(SHAPE, mask, false);
      int[] positions = {0, 3, 9};
      ErrorNorms norms =
          ErrorStudy.compare(ErrorStudy.exact(target, 2), ExactRows.of(target, positions, 2));
      assertEquals(0, norms.relativeFrobenius(), 1e-6, mask.toString());
      assertEquals(3, norms.rows());
    }
  }

  @Test
  void ownKeyIsSeenLastWhereQueriesAreKeys() {
    AttentionShape shape = AttentionShape.of(1, 2, 12, 8);
    ExactTarget target = target(shape, Mask.causal(), true);
    int[] all = IntStream.range(0, 12).toArray();
    ErrorNorms norms =
        ErrorStudy.compare(ErrorStudy.exact(target, 1), ExactRows.of(target, all, 1));
    assertEquals(0, norms.relativeFrobenius(), 1e-6);
  }

  /// softmax(ln 3, 0) = (3/4, 1/4), worked by hand.
  @Test
  void weightsAreThoseOfTheSoftmax() {
    AttentionShape shape = AttentionShape.of(1, 1, 2, 1);
    ExactTarget target =
        new ExactTarget(
            shape,
            Mask.none(),
            Tensor.of(new float[] {1, 0}, 1, 1, 2, 1),
            Tensor.of(new float[] {2, 0}, 1, 1, 2, 1),
            Tensor.of(new float[] {8, 4}, 1, 1, 2, 1),
            0.5 * Math.log(3),
            false);
    ExactRows rows = ExactRows.of(target, new int[] {0, 1}, 1);
    assertArrayEquals(new double[] {7, 6}, rows.values(), 1e-12);
  }

  @Test
  void positionsAreOneOfEachPartAndAllOfShortSequences() {
    assertArrayEquals(
        IntStream.range(0, 200).toArray(), ExactRows.positions(AttentionShape.of(1, 2, 200, 64)));
    int[] some = ExactRows.positions(AttentionShape.of(1, 2, 8192, 64));
    assertEquals(ExactRows.MOST_POSITIONS, some.length);
    for (int s = 0; s < some.length; s++) {
      assertEquals(s, some[s] / 32);
    }
    assertTrue(IntStream.of(some).map(i -> i % 32).distinct().count() > 16, "no pattern of blocks");
    assertTrue(ExactRows.positions(AttentionShape.of(8, 16, 8192, 64)).length >= 16);
  }

  private static ExactTarget target(AttentionShape s, Mask mask, boolean selfLast) {
    Tensor q = Draws.gaussian(1, s.batchSize(), s.numHeads(), s.querySeqLen(), s.headDim());
    Tensor k = Draws.gaussian(2, s.batchSize(), s.numKeyValueHeads(), s.keySeqLen(), s.headDim());
    Tensor v = Draws.gaussian(3, s.batchSize(), s.numKeyValueHeads(), s.keySeqLen(), s.valueDim());
    return new ExactTarget(s, mask, q, k, v, 0.35, selfLast);
  }
}
