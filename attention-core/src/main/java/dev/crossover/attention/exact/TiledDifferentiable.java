package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;

/// [Tiled] with its backward pass: keeps the log-sum-exp of each row and computes the weights
/// again.
final class TiledDifferentiable extends DifferentiablePlan {
  private static final String LSE = "lse";

  private final AttentionPlan forward;
  private final TiledBackward backward;
  private final Tensor lse;
  private final Tensors results;
  private final float[] gradQuery;
  private final float[] gradKey;
  private final float[] gradValue;

  TiledDifferentiable(PlanRequest request, double scale) {
    super(request);
    forward = request.attention().newPlan(request);
    scratch.include(forward.scratchBytes());
    backward = new TiledBackward(shape, mask, request.threads(), scale, false, scratch);
    AttentionShape s = shape;
    lse = Tensor.of(kept.floats(rows(s)), s.batchSize(), s.numHeads(), s.querySeqLen());
    results = Tensors.NONE.with(LSE, lse);
    gradQuery = scratch.floats(rows(s) * s.headDim());
    gradKey = scratch.floats(keyRows(s) * s.headDim());
    gradValue = scratch.floats(keyRows(s) * s.valueDim());
  }

  static GradientCost cost(AttentionShape s, Mask mask, int threads, long forwardScratch) {
    long own = rows(s) * s.headDim() + keyRows(s) * (s.headDim() + s.valueDim());
    return new GradientCost(
        TiledBackward.flops(s, mask),
        Float.BYTES * rows(s),
        forwardScratch + TiledBackward.bytes(s, mask, threads, false) + Float.BYTES * own);
  }

  private static long rows(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen();
  }

  private static long keyRows(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
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
      backward.bias(input("bias"), wantsGradient("bias") ? gradient("bias") : null);
    }
    backward.run(gradOut, gradQuery, gradKey, gradValue);
    add("q", gradQuery);
    add("k", gradKey);
    add("v", gradValue);
  }

  private void add(String input, float[] computed) {
    if (wantsGradient(input)) {
      float[] sum = gradient(input);
      Kernels.get().add(sum.length, sum, 0, computed, 0, sum, 0);
    }
  }
}
