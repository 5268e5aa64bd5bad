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
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.SelectedBlocksGradient;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of [Moba]: some consecutive queries at a time over their own blocks and, by
/// block, over those they chose.
final class MobaGradient extends DifferentiablePlan {
  private final MobaPlan forward;
  private final float[] lse;
  private final int[] chosen;
  private final int chosenBefore;
  private final Rows rows;

  MobaGradient(PlanRequest request, Moba attention) {
    super(request);
    int n = shape.keySeqLen();
    chosenBefore = attention.chosenBefore(n);
    lse = kept.floats((long) shape.problems() * n);
    chosen = kept.ints((long) shape.problems() * n * chosenBefore);
    forward = new MobaPlan(request, attention, lse, chosen);
    scratch.include(forward.scratchBytes());
    rows = new Rows(request, attention, scratch);
  }

  static GradientCost cost(Moba attention, AttentionShape s, double pairs, int threads) {
    int n = s.keySeqLen();
    int before = attention.chosenBefore(n);
    int queries = SelectedBlocks.queriesAtOnce(attention.blockSize(), n, before);
    long perThread =
        SelectedBlocksGradient.bytes(attention.blockSize(), n, before, queries)
            + (long) queries * Integer.BYTES;
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        (1L + before) * Float.BYTES * s.problems() * n,
        MobaPlan.scratchBytes(attention, s, threads)
            + IntervalGradient.bytes(s, threads, n, GradientTile.preferredRows())
            + threads * perThread);
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

  private final class Rows extends IntervalGradient {
    private final int n = shape.keySeqLen();
    private final int queries;
    private final SelectedBlocksGradient[] selected;
    private final int[][] limit;

    Rows(PlanRequest request, Moba attention, Scratch scratch) {
      super(request, scratch, request.shape().keySeqLen(), GradientTile.preferredRows(), false);
      queries = SelectedBlocks.queriesAtOnce(attention.blockSize(), n, chosenBefore);
      selected = new SelectedBlocksGradient[request.threads()];
      limit = new int[request.threads()][];
      for (int t = 0; t < selected.length; t++) {
        selected[t] =
            new SelectedBlocksGradient(
                scratch,
                attention.blockSize(),
                n,
                chosenBefore,
                queries,
                GradientTile.preferredRows());
        limit[t] = scratch.ints(queries);
      }
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      keys.add(0, 1, mask.realKeys(batch, n));
    }

    @Override
    protected int blocks(int head) {
      return queries == 0 ? 0 : Math.ceilDiv(n, queries);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      int first = block * queries;
      int count = Math.min(queries, n - first);
      int real = mask.realKeys(batch, n);
      for (int r = 0; r < count; r++) {
        int seen = Math.min(real, mask.causalLimit(first + r, n, n));
        limit[worker][r] = first + r < real ? seen : 0;
      }
      int row = (batch * shape.numHeads() + head) * n + first;
      selected[worker].attend(
          tile, keys, first, count, limit[worker], 0, chosen, row * chosenBefore);
    }
  }
}
