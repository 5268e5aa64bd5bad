// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// The backward pass of [Materialised], from the kept weights P: the formulas as they stand, one
/// head after the other.
///
/// Products read copies in which a row that is not finite is zero, because 0 · NaN is NaN and what
/// is hidden must not pass; whoever sees such a row has NaN among its own numbers.
final class MaterialisedGradient extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final AttentionPlan forward;
  private final float[] weights;
  private final float scale;
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final float[][] slopes = new float[threads()][];
  private final float[][] queries = new float[threads()][];
  private final float[][] keys = new float[threads()][];
  private final float[][] upstream = new float[threads()][];
  private final float[][] transposed = new float[threads()][];
  private final Workers.Task head = this::head;
  private int firstHead;

  /// @param plan makes the forward plan that leaves its weights in an array
  MaterialisedGradient(PlanRequest request, double scale, Function<float[], AttentionPlan> plan) {
    super(request);
    this.scale = (float) scale;
    weights = kept.floats((long) shape.problems() * nq * nk);
    forward = plan.apply(weights);
    scratch.include(forward.scratchBytes());
    for (int t = 0; t < threads(); t++) {
      slopes[t] = scratch.floats((long) nq * nk);
      queries[t] = scratch.floats((long) nq * d);
      keys[t] = scratch.floats((long) nk * d);
      upstream[t] = scratch.floats((long) nq * dv);
      transposed[t] = scratch.floats(kernels.transposedBScratch(nk, dv));
    }
  }

  /// Bytes of scratch beyond those of the forward pass.
  static long scratchBytes(AttentionShape s, int threads) {
    long nq = s.querySeqLen();
    long nk = s.keySeqLen();
    long floats =
        nq * nk
            + (nq + nk) * s.headDim()
            + nq * s.valueDim()
            + Kernels.get().transposedBScratch(s.keySeqLen(), s.valueDim());
    return threads * floats * Float.BYTES;
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  /// Query heads of a key/value head follow each other; with the gradient of a bias, which the
  /// batch shares, so do the batch entries.
  @Override
  protected void differentiate(float[] gradOut) {
    int heads = shape.numKeyValueHeads();
    int rounds = wantsGradient("bias") ? shape.batchSize() : 1;
    int atOnce = shape.batchSize() * heads / rounds;
    for (int round = 0; round < rounds; round++) {
      firstHead = round * atOnce;
      workers.run(atOnce, head);
    }
  }

  private void head(int worker, int index) {
    int batch = (firstHead + index) / shape.numKeyValueHeads();
    int first = (firstHead + index) % shape.numKeyValueHeads() * shape.groupSize();
    finiteRows(input("k"), shape.keyOffset(batch, first), d, nk, keys[worker]);
    for (int h = first; h < first + shape.groupSize(); h++) {
      queryHead(worker, batch, h);
    }
  }

  private void queryHead(int worker, int batch, int h) {
    int qo = shape.queryOffset(batch, h);
    int ko = shape.keyOffset(batch, h);
    int vo = shape.valueOffset(batch, h);
    int oo = shape.outputOffset(batch, h);
    int p = (batch * shape.numHeads() + h) * nq * nk;
    float[] ds = slopes[worker];
    float[] g = upstream[worker];
    slopes(worker, batch, h, p, ds);
    finiteRows(input("q"), qo, d, nq, queries[worker]);
    finiteRows(gradOut, oo, dv, nq, g);
    if (wantsGradient("q")) {
      kernels.multiply(nq, d, nk, ds, 0, nk, keys[worker], 0, d, gradient("q"), qo, d, true);
    }
    if (wantsGradient("k")) {
      kernels.multiplyTransposedA(
          nk, d, nq, ds, 0, nk, queries[worker], 0, d, gradient("k"), ko, d, true);
    }
    if (wantsGradient("v")) {
      float[] gradValue = gradient("v");
      kernels.multiplyTransposedA(nk, dv, nq, weights, p, nk, g, 0, dv, gradValue, vo, dv, true);
      markValues(batch, oo, gradValue, vo);
    }
  }

  /// scale · dS, exactly 0 for hidden pairs, which get the weight 0 too; dS is added to the
  /// gradient of the bias.
  private void slopes(int worker, int batch, int h, int p, float[] ds) {
    int oo = shape.outputOffset(batch, h);
    kernels.multiplyTransposedB(
        nq,
        nk,
        dv,
        gradOut,
        oo,
        dv,
        input("v"),
        shape.valueOffset(batch, h),
        dv,
        ds,
        0,
        nk,
        false,
        transposed[worker],
        0);
    float[] gradBias = wanted("bias");
    for (int i = 0; i < nq; i++) {
      int row = i * nk;
      int limit = mask.causalLimit(i, nq, nk);
      float delta = kernels.dot(dv, gradOut, oo + i * dv, output(), oo + i * dv);
      for (int j = 0; j < limit; j++) {
        ds[row + j] = weights[p + row + j] * (ds[row + j] - delta);
      }
      for (int j = 0; mask.hasKeyPadding() && j < limit; j++) {
        if (!mask.isRealKey(batch, j)) {
          ds[row + j] = 0;
        }
      }
      Arrays.fill(ds, row + limit, row + nk, 0);
      Arrays.fill(weights, p + row + limit, p + row + nk, 0);
      addBias(gradBias, h * nq * nk + row, ds, row, limit);
      kernels.scale(limit, scale, ds, row, ds, row);
    }
  }

  private void addBias(float @Nullable [] sum, int at, float[] ds, int row, int count) {
    if (sum != null) {
      kernels.add(count, sum, at, ds, row, sum, at);
    }
  }

  /// Copies rows, zeros in place of those that are not finite.
  private void finiteRows(float[] x, int xo, int width, int rows, float[] copy) {
    System.arraycopy(x, xo, copy, 0, rows * width);
    if (isFinite(copy, 0, rows * width)) {
      return;
    }
    for (int r = 0; r < rows; r++) {
      if (!isFinite(copy, r * width, width)) {
        Arrays.fill(copy, r * width, (r + 1) * width, 0);
      }
    }
  }

  private boolean isFinite(float[] x, int from, int count) {
    return Float.isFinite(kernels.largestMagnitude(count, x, from));
  }

  /// Makes NaN the gradients of the values that a row with an upstream gradient that is not finite
  /// sees.
  private void markValues(int batch, int oo, float[] gradValue, int vo) {
    if (isFinite(gradOut, oo, nq * dv)) {
      return;
    }
    for (int i = 0; i < nq; i++) {
      int limit = isFinite(gradOut, oo + i * dv, dv) ? 0 : mask.causalLimit(i, nq, nk);
      for (int j = 0; j < limit; j++) {
        if (mask.isRealKey(batch, j)) {
          Arrays.fill(gradValue, vo + j * dv, vo + (j + 1) * dv, Float.NaN);
        }
      }
    }
  }
}
