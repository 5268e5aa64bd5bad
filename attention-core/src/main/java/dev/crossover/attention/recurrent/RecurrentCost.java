// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;

/// Counted work and memory of [RecurrentPlan] and [RecurrentGradientPlan].
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
    double bytes = inputBytes(layout);
    Scratch scratch = Scratch.sizing();
    new RecurrentForward(layout, new Workers(threads), scratch, null);
    return new Cost(flops, bytes, scratch.bytes());
  }

  /// The cost of the backward pass of [RecurrentGradientPlan].
  ///
  /// Per head and chunk, on top of the scores and decays computed again: the reverse step takes
  /// `2(1 + s)C·d·dv` for the gradients of values and of S, and `C(C + 1)dv`, with the substitution
  /// `2C²dv`; the gradients of q, k and scores take `2(1 + s)C·d·dv` and `sC(C + 1)(dv + 2d)`.
  ///
  /// @param finishing operations per output element to take the gradient of completed outputs back
  public static GradientCost gradient(
      AttentionShape shape,
      Mask mask,
      int threads,
      UpdateRule rule,
      int chunkLength,
      double finishing) {
    ChunkLayout layout = ChunkLayout.of(shape, mask, rule, chunkLength);
    int n = shape.querySeqLen();
    int chunk = layout.chunk();
    double head = n / chunk * gradientFlops(layout, chunk);
    head += n % chunk == 0 ? 0 : gradientFlops(layout, n % chunk);
    double flops = shape.problems() * (head + finishing * n * shape.valueDim());
    Scratch scratch = Scratch.sizing();
    Scratch kept = Scratch.sizing();
    new RecurrentBackward(layout, new Workers(threads), scratch, kept);
    return new GradientCost(flops, kept.bytes(), scratch.bytes());
  }

  private static double gradientFlops(ChunkLayout layout, int rows) {
    UpdateRule rule = layout.rule();
    double c = rows;
    double d = layout.shape().headDim();
    double dv = layout.shape().valueDim();
    double sides = layout.sides();
    double shared = sides * c * (c + 1) * d + sides * c * d + decay(layout).flops(rows);
    double reverse = c * (c + 1) * dv + 2 * (1 + sides) * c * d * dv;
    reverse += rule.erases() ? c * (c - 1) * dv : 0;
    reverse += layout.decays() ? d * dv : 0;
    double gradients = 2 * (1 + sides) * c * d * dv + sides * c * (c + 1) * (dv + 2 * d);
    gradients += decay(layout).gradientFlops(rows) + (layout.decays() ? 2 * d * dv : 0);
    gradients += rule.weighsWrites() ? 3 * c * dv : 0;
    gradients += rule.erases() ? 4 * c * d : 0;
    gradients += 3 * c * d + 2 * c * dv;
    int times = layout.wholeHeads() ? 1 : layout.tasksPerHead() + 1;
    return times * shared + reverse + gradients;
  }

  private static double chunkFlops(ChunkLayout layout, int rows) {
    UpdateRule rule = layout.rule();
    double c = rows;
    double d = layout.shape().headDim();
    double dv = layout.shape().valueDim();
    double sides = layout.sides();
    double shared = sides * c * (c + 1) * d + sides * c * d;
    shared += decay(layout).flops(rows);
    double columns = 2 * sides * c * d * dv + 2 * c * d * dv + c * (c + 1) * dv;
    columns += rule.erases() ? c * (c - 1) * dv : 0;
    columns += rule.weighsWrites() ? c * dv : 0;
    columns += layout.decays() ? d * dv : 0;
    return layout.tasksPerHead() * shared + columns;
  }

  private static ChunkDecay decay(ChunkLayout layout) {
    return ChunkDecay.of(layout, Scratch.sizing());
  }

  private static double inputBytes(ChunkLayout layout) {
    AttentionShape shape = layout.shape();
    UpdateRule rule = layout.rule();
    double rows = (double) shape.problems() * shape.querySeqLen();
    double shared = rows * rule.queryKeyHeads(shape) / shape.numHeads();
    double gates = decay(layout).width() + (rule.weighsWrites() ? 1 : 0);
    return Float.BYTES * (2 * shared * shape.headDim() + rows * (2 * shape.valueDim() + gates));
  }
}
