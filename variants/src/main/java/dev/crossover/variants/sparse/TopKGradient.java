// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.select.KeyShares;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// The backward pass of [TopK]: rows are selected again as in the forward pass, and each adds to
/// the gradients of the few keys it kept.
final class TopKGradient extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final TopKPlan forward;
  private final KeyShares shares;
  private final float[][] slopes = new float[threads()][];
  private final float[][] sums = new float[threads()][];
  private final int[] tasks;
  private final float factor = (float) Attention.defaultScale(shape);
  private final TopKRows.Row row = this::row;
  private final Workers.Task part = this::part;
  private float[] gradOut = new float[0];

  TopKGradient(PlanRequest request, TopK attention) {
    super(request);
    forward = new TopKPlan(request, attention);
    scratch.include(forward.scratchBytes());
    shares = new KeyShares(scratch, shape);
    tasks = scratch.ints(threads());
    for (int t = 0; t < slopes.length; t++) {
      slopes[t] = scratch.floats(shape.keySeqLen());
      sums[t] = scratch.floats(shape.headDim());
    }
  }

  /// Bytes of scratch beyond those of the forward pass.
  static long scratchBytes(AttentionShape s, int threads) {
    return KeyShares.bytes(s) + threads * (s.keySeqLen() + s.headDim() + 1L) * Float.BYTES;
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] newGradOut) {
    gradOut = newGradOut;
    shares.bind(wanted("k"), wanted("v"));
    workers.run(shares.tasks(), part);
    shares.sum(workers);
  }

  private void part(int worker, int task) {
    int group = task / shares.parts();
    int batch = group / shape.numKeyValueHeads();
    int first = group % shape.numKeyValueHeads() * shape.groupSize();
    int share = task % shares.parts();
    int blocks = forward.rows().blocks();
    tasks[worker] = task;
    shares.begin(task);
    for (int h = first; h < first + shape.groupSize(); h++) {
      for (int b = shares.first(share, blocks); b < shares.first(share + 1, blocks); b++) {
        forward.rows().block(worker, input("q"), batch, h, b, row);
      }
    }
  }

  /// ds of one row's kept keys and what follows from it.
  private void row(int worker, int batch, int h, int i, int count) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    int[] kept = forward.rows().kept(worker);
    float[] p = forward.rows().weights(worker);
    float[] ds = slopes[worker];
    float[] v = input("v");
    int go = shape.outputOffset(batch, h) + i * dv;
    int vo = shape.valueOffset(batch, h);
    for (int s = 0; s < count; s++) {
      ds[s] = kernels.dot(dv, gradOut, go, v, vo + kept[s] * dv);
    }
    float mean = kernels.dot(count, p, 0, ds, 0);
    for (int s = 0; s < count; s++) {
      ds[s] = factor * p[s] * (ds[s] - mean);
    }
    int qo = shape.queryOffset(batch, h) + i * d;
    if (wantsGradient("q")) {
      float[] sum = sums[worker];
      float[] gradQuery = gradient("q");
      RowSelection.mix(d, count, ds, kept, input("k"), shape.keyOffset(batch, h), sum, 0);
      kernels.add(d, gradQuery, qo, sum, 0, gradQuery, qo);
    }
    int task = tasks[worker];
    scatter(count, d, ds, kept, input("q"), qo, shares.keys(), shares.keyOffset(task));
    scatter(count, dv, p, kept, gradOut, go, shares.values(), shares.valueOffset(task));
  }

  /// Adds `weight[s] · x` to row `kept[s]` of the sums.
  private void scatter(
      int count,
      int width,
      float[] weight,
      int[] kept,
      float[] x,
      int xo,
      float @Nullable [] to,
      int o) {
    for (int s = 0; s < count && to != null; s++) {
      kernels.axpy(width, weight[s], x, xo, to, o + kept[s] * width);
    }
  }
}
