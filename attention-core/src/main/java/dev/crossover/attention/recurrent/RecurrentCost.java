package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.recurrent.UpdateRule.Decay;

/// Counted work and memory of [RecurrentPlan].
///
/// Per head and chunk of C rows with s = 1 (or 2 where the rule erases): `sC(C + 1)d` for the lower
/// triangle of the scores, `2sC·d·dv` for S read, `2C·d·dv` for S written, `C(C + 1)dv` for the
/// triangle times values, `C(C − 1)dv` for the substitution; scores and what precedes them again
/// for every task of a head. An exponential counts as one operation. Decays are counted as they
/// run while they stay within reach of the start of their chunk, as the gates that sweeps draw do;
/// a call with stronger gates does more.
public final class RecurrentCost {
  private RecurrentCost() {}

  /// The plan's cost.
  ///
  /// @param finishing operations per output element after the recurrence
  public static Cost of(
      AttentionShape shape,
      Mask mask,
      int threads,
      UpdateRule rule,
      int chunkLength,
      double finishing) {
    ChunkLayout layout = ChunkLayout.of(shape, mask, rule, chunkLength);
    int n = shape.querySeqLen();
    int chunk = layout.chunk();
    double head = n / chunk * chunkFlops(layout, chunk);
    head += n % chunk == 0 ? 0 : chunkFlops(layout, n % chunk);
    double flops = shape.problems() * (head + finishing * n * shape.valueDim());
    double bytes = inputBytes(shape, rule);
    return new Cost(flops, bytes, threads * layout.bytes());
  }

  private static double chunkFlops(ChunkLayout layout, int rows) {
    UpdateRule rule = layout.rule();
    double c = rows;
    double d = layout.shape().headDim();
    double dv = layout.shape().valueDim();
    double sides = layout.sides();
    double shared = sides * c * (c + 1) * d + sides * c * d;
    shared +=
        switch (rule.decay()) {
          case NONE -> 0;
          case CONSTANT -> c * d;
          case TOKEN -> c * d + 5 * c;
          case CHANNEL -> (sides + 4) * c * d;
        };
    double columns = 2 * sides * c * d * dv + 2 * c * d * dv + c * (c + 1) * dv;
    columns += rule.erases() ? c * (c - 1) * dv : 0;
    columns += rule.weighsWrites() ? c * dv : 0;
    columns += rule.decay() == Decay.NONE ? 0 : d * dv;
    return layout.tasksPerHead() * shared + columns;
  }

  private static double inputBytes(AttentionShape shape, UpdateRule rule) {
    double rows = (double) shape.problems() * shape.querySeqLen();
    double shared = rows * rule.queryKeyHeads(shape) / shape.numHeads();
    double gates =
        switch (rule.decay()) {
          case NONE, CONSTANT -> 0;
          case TOKEN -> 1;
          case CHANNEL -> shape.headDim();
        };
    gates += rule.weighsWrites() ? 1 : 0;
    return Float.BYTES * (2 * shared * shape.headDim() + rows * (2 * shape.valueDim() + gates));
  }
}
