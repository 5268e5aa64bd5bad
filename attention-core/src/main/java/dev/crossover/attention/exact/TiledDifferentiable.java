// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;

/// [Tiled] with its backward pass: keeps the log-sum-exp of each row and computes the weights
/// again.
final class TiledDifferentiable extends DifferentiablePlan {
  private static final String LSE = "lse";

  private final AttentionPlan forward;
  private final TiledBackward backward;
  private final Tensor lse;
  private final Tensors results;

  TiledDifferentiable(PlanRequest request, double scale) {
    super(request);
    forward = request.attention().newPlan(request);
    scratch.include(forward.scratchBytes());
    backward = new TiledBackward(shape, mask, request.workers(), scale, false, scratch);
    AttentionShape s = shape;
    lse = Tensor.of(kept.floats(rows(s)), s.batchSize(), s.numHeads(), s.querySeqLen());
    results = Tensors.NONE.with(LSE, lse);
  }

  static GradientCost cost(AttentionShape s, Mask mask, int threads, long forwardScratch) {
    return new GradientCost(
        TiledBackward.flops(s, mask),
        Float.BYTES * rows(s),
        forwardScratch + TiledBackward.bytes(s, mask, threads, false));
  }

  private static long rows(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen();
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, results);
    if (wantsResult(LSE)) {
      System.arraycopy(lse.data(), 0, result(LSE), 0, lse.size());
    }
  }

  @Override
  protected void differentiate(float[] gradOut) {
    backward.bind(input("q"), input("k"), input("v"), output(), lse.data());
    if (hasInput("bias")) {
      backward.bias(input("bias"), wanted("bias"));
    }
    backward.add(gradOut, wanted("q"), wanted("k"), wanted("v"));
  }
}
