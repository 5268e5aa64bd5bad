// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

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

/// The backward pass of [Dsa]: each row adds to the gradients of the keys it has chosen.
final class DsaGradient extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final DsaPlan forward;
  private final KeyShares shares;
  private final float scale;
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final float[][] weights = new float[threads()][];
  private final float[][] slopes = new float[threads()][];
  private final float[][] sums = new float[threads()][];
  private final Workers.Task part = this::part;
  private float[] gradOut = new float[0];

  DsaGradient(PlanRequest request, Dsa attention) {
    super(request);
    forward = new DsaPlan(request, attention, kept);
    scratch.include(forward.scratchBytes());
    shares = new KeyShares(scratch, shape);
    scale = (float) attention.scaleFor(shape);
    for (int t = 0; t < slopes.length; t++) {
      weights[t] = scratch.floats(attention.most(shape));
      slopes[t] = scratch.floats(attention.most(shape));
      sums[t] = scratch.floats(d);
    }
  }

  /// Bytes of scratch beyond those of the forward pass.
  static long scratchBytes(Dsa attention, AttentionShape s, int threads) {
    return KeyShares.bytes(s) + threads * (2L * attention.most(s) + s.headDim()) * Float.BYTES;
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
    shares.begin(task);
    for (int h = first; h < first + shape.groupSize(); h++) {
      for (int t = shares.first(share, n); t < shares.first(share + 1, n); t++) {
        row(worker, task, batch, h, t);
      }
    }
  }

  /// ds of one row and what follows from it.
  private void row(int worker, int task, int batch, int h, int t) {
    float[] p = weights[worker];
    float[] ds = slopes[worker];
    int count = forward.weigh(batch, h, t, input("q"), input("k"), p);
    int list = forward.first(batch, t);
    int[] chosen = forward.chosen();
    int go = shape.outputOffset(batch, h) + t * dv;
    int vo = shape.valueOffset(batch, h);
    for (int s = 0; s < count; s++) {
      ds[s] = kernels.dot(dv, gradOut, go, input("v"), vo + chosen[list + s] * dv);
    }
    float mean = kernels.dot(count, p, 0, ds, 0);
    for (int s = 0; s < count; s++) {
      ds[s] = scale * p[s] * (ds[s] - mean);
    }
    int qo = shape.queryOffset(batch, h) + t * d;
    float[] gradQuery = wanted("q");
    if (gradQuery != null) {
      float[] sum = sums[worker];
      int ko = shape.keyOffset(batch, h);
      RowSelection.mix(d, count, ds, chosen, list, input("k"), ko, sum, 0);
      kernels.add(d, gradQuery, qo, sum, 0, gradQuery, qo);
    }
    scatter(count, d, ds, list, input("q"), qo, shares.keys(), shares.keyOffset(task));
    scatter(count, dv, p, list, gradOut, go, shares.values(), shares.valueOffset(task));
  }

  /// Adds `weight[s] · x` to the row of every chosen key.
  private void scatter(
      int count,
      int width,
      float[] weight,
      int list,
      float[] x,
      int xo,
      float @Nullable [] to,
      int o) {
    for (int s = 0; s < count && to != null; s++) {
      kernels.axpy(width, weight[s], x, xo, to, o + forward.chosen()[list + s] * width);
    }
  }
}
