// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.select.ChosenBlocks;
import dev.crossover.attention.select.ChosenBlocksGradient;
import dev.crossover.attention.select.IntervalGradient;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of [BlockTopK]: some groups of queries at a time over their windows and first
/// keys and, by block, over those they chose.
final class BlockTopKGradient extends DifferentiablePlan {
  private final BlockTopK attention;
  private final BlockTopKPlan forward;
  private final float[] lse;
  private final int[] chosen;
  private final Rows rows;

  BlockTopKGradient(PlanRequest request, BlockTopK attention) {
    super(request);
    this.attention = attention;
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    chosen = kept.ints(choices(attention, shape));
    forward = new BlockTopKPlan(request, attention, lse, chosen);
    scratch.include(forward.scratchBytes());
    rows = new Rows(request, scratch);
  }

  /// Blocks that all groups choose.
  private static long choices(BlockTopK attention, AttentionShape s) {
    long groups = Math.ceilDiv(s.querySeqLen(), attention.queryBlock());
    return s.problems() * groups * attention.chosen(s.keySeqLen());
  }

  static GradientCost cost(
      BlockTopK attention, AttentionShape s, Mask mask, double pairs, int threads) {
    int nk = s.keySeqLen();
    int perQuery = attention.chosen(nk);
    int queries = attention.queries(s.querySeqLen());
    long perThread =
        ChosenBlocksGradient.bytes(attention.blockSize(), nk, perQuery, queries)
            + ChosenBlocks.Visible.bytes(queries, perQuery);
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        Float.BYTES * ((long) s.problems() * s.querySeqLen() + choices(attention, s)),
        BlockTopKPlan.scratchBytes(attention, s, mask, threads)
            + IntervalGradient.bytes(s, threads, nk, GradientTile.preferredRows())
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
    private final int nq = shape.querySeqLen();
    private final int nk = shape.keySeqLen();
    private final int queryBlock = attention.queryBlock();
    private final int perQuery = attention.chosen(nk);
    private final int queries = attention.queries(nq);
    private final ChosenBlocksGradient[] engines;
    private final ChosenBlocks.Visible[] visible;

    Rows(PlanRequest request, Scratch scratch) {
      super(request, scratch, request.shape().keySeqLen(), GradientTile.preferredRows(), false);
      engines = new ChosenBlocksGradient[request.threads()];
      visible = new ChosenBlocks.Visible[request.threads()];
      for (int t = 0; t < engines.length; t++) {
        engines[t] =
            new ChosenBlocksGradient(scratch, attention.blockSize(), nk, perQuery, queries);
        visible[t] = ChosenBlocks.Visible.of(scratch, queries, perQuery);
      }
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      if (mask.hasKeyPadding()) {
        keys.add(0, 1, nk, forward.real(), batch * nk, 1);
      } else {
        keys.add(0, 1, nk);
      }
    }

    @Override
    protected int blocks(int head) {
      return queries == 0 ? 0 : Math.ceilDiv(nq, queries);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      int first = block * queries;
      int count = Math.min(queries, nq - first);
      ChosenBlocks.Visible sees = visible[worker];
      int groups = Math.ceilDiv(nq, queryBlock);
      int at = ((batch * shape.numHeads() + head) * groups + first / queryBlock) * perQuery;
      for (int r = 0; r < count; r++) {
        attention.see(mask, shape, first + r, sees, r);
        int from = at + r / queryBlock * perQuery;
        System.arraycopy(chosen, from, sees.chosen(), r * perQuery, perQuery);
      }
      engines[worker].attend(tile, keys, sees, first, count);
    }
  }
}
