// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.select.IntervalGradient;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of [BigBird]: the same slots as forward, block by block.
final class BigBirdGradient extends DifferentiablePlan {
  private final BigBird attention;
  private final BigBirdPlan forward;
  private final float[] lse;
  private final Rows rows;

  BigBirdGradient(PlanRequest request, BigBird attention) {
    super(request);
    this.attention = attention;
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    forward = new BigBirdPlan(request, attention, lse);
    scratch.include(forward.scratchBytes());
    rows = new Rows(request, scratch);
  }

  static GradientCost cost(
      BigBird attention, AttentionShape s, double pairs, int threads, long forward) {
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        (long) Float.BYTES * s.problems() * s.querySeqLen(),
        forward + IntervalGradient.bytes(s, threads, s.keySeqLen(), rows(attention)));
  }

  private static int rows(BigBird attention) {
    return attention.rows(GradientTile.preferredRows());
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    rows.bind(input("q"), input("k"), input("v"), output(), lse);
    rows.run(gradOut, wanted("q"), wanted("k"), wanted("v"));
  }

  /// Consecutive rows, of one or several query blocks.
  private final class Rows extends IntervalGradient {
    private final int n = shape.keySeqLen();
    private final int most = rows(attention);
    private final int last = attention.blocks(n) - 1;

    Rows(PlanRequest request, Scratch scratch) {
      super(request, scratch, request.shape().keySeqLen(), rows(attention), false);
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      if (mask.hasKeyPadding()) {
        keys.add(0, 1, n, forward.real(), batch * n, 1);
      } else {
        keys.add(0, 1, n);
      }
    }

    @Override
    protected int blocks(int head) {
      return Math.ceilDiv(n, most);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      int first = block * most;
      int count = Math.min(most, n - first);
      tile.rows(first, 1, count);
      for (int r = 0; r < count; r++) {
        int own = (first + r) / attention.blockSize();
        see(tile, batch, first, r, attention.windowStart(n, own), attention.windowEnd(n, own));
      }
      tile.attend(keys);
      if (attention.isDense(n)) {
        return;
      }
      for (int r = 0; r < count; r++) {
        int own = (first + r) / attention.blockSize();
        see(tile, batch, first, r, 0, own > 1 && own < last ? attention.blockSize() : 0);
      }
      tile.attend(keys);
      for (int r = 0; r < count; r++) {
        int own = (first + r) / attention.blockSize();
        int end = own > 0 && own < last - 1 ? n : 0;
        see(tile, batch, first, r, last * attention.blockSize(), end);
      }
      tile.attend(keys);
      int end = Math.min(last - 1, (first + count - 1) / attention.blockSize());
      for (int own = Math.max(1, first / attention.blockSize()); own <= end; own++) {
        random(tile, keys, batch, head, first, own);
      }
    }

    /// What a row sees, nothing if it is padding.
    private void see(GradientTile tile, int batch, int first, int r, int from, int to) {
      tile.see(r, from, mask.isRealKey(batch, first + r) ? to : 0);
    }

    /// The random blocks of one query block.
    private void random(
        GradientTile tile, GradientKeys keys, int batch, int head, int first, int own) {
      for (int s = 0; s < attention.numRandomBlocks(); s++) {
        int key = attention.randomBlock(input("random_blocks"), n, head, own, s);
        if (key >= 0) {
          int from = key * attention.blockSize();
          int to = Math.min(n, from + attention.blockSize());
          for (int r = 0; r < tile.rows(); r++) {
            boolean here = (first + r) / attention.blockSize() == own;
            see(tile, batch, first, r, from, here ? to : 0);
          }
          tile.attend(keys);
        }
      }
    }
  }
}
