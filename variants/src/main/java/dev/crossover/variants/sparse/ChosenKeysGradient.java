// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.select.KeyShares;
import org.jspecify.annotations.Nullable;

/// A backward pass over rows that have chosen some keys each: every row adds to the gradients of
/// those.
abstract class ChosenKeysGradient extends DifferentiablePlan {
  private final Kernels kernels = Kernels.get();
  private final KeyShares shares;
  private final float scale;
  private final float[][] slopes = new float[threads()][];
  private final float[][] sums = new float[threads()][];
  private final Workers.Task part = this::part;

  /// @param scale factor on the dot products
  /// @param most keys of a row
  ChosenKeysGradient(PlanRequest request, double scale, int most) {
    super(request);
    this.scale = (float) scale;
    shares = new KeyShares(scratch, shape);
    for (int t = 0; t < slopes.length; t++) {
      slopes[t] = scratch.floats(most);
      sums[t] = scratch.floats(shape.headDim());
    }
  }

  /// Bytes the constructor allocates.
  static long bytes(AttentionShape s, int most, int threads) {
    return KeyShares.bytes(s) + threads * ((long) most + s.headDim()) * Float.BYTES;
  }

  /// Blocks of rows of a query head.
  abstract int blocks();

  /// Calls [#row] for every row of a block.
  abstract void block(int worker, int task, int batch, int head, int block);

  @Override
  protected final void differentiate(float[] gradOut) {
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
      for (int b = shares.first(share, blocks()); b < shares.first(share + 1, blocks()); b++) {
        block(worker, task, batch, h, b);
      }
    }
  }

  /// ds of row i and what follows from it.
  ///
  /// @param p weights of the chosen keys
  /// @param chosen their positions, the first at `list`
  final void row(
      int worker,
      int task,
      int batch,
      int head,
      int i,
      int count,
      float[] p,
      int[] chosen,
      int list) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    float[] ds = slopes[worker];
    int go = shape.outputOffset(batch, head) + i * dv;
    int vo = shape.valueOffset(batch, head);
    for (int s = 0; s < count; s++) {
      ds[s] = kernels.dot(dv, gradOut, go, input("v"), vo + chosen[list + s] * dv);
    }
    float mean = kernels.dot(count, p, 0, ds, 0);
    for (int s = 0; s < count; s++) {
      ds[s] = scale * p[s] * (ds[s] - mean);
    }
    int qo = shape.queryOffset(batch, head) + i * d;
    float[] gradQuery = wanted("q");
    if (gradQuery != null) {
      float[] sum = sums[worker];
      int ko = shape.keyOffset(batch, head);
      RowSelection.mix(d, count, ds, chosen, list, input("k"), ko, sum, 0);
      kernels.add(d, gradQuery, qo, sum, 0, gradQuery, qo);
    }
    scatter(count, d, ds, chosen, list, input("q"), qo, shares.keys(), shares.keyOffset(task));
    scatter(count, dv, p, chosen, list, gradOut, go, shares.values(), shares.valueOffset(task));
  }

  /// Adds `weight[s] · x` to the row of every chosen key.
  private void scatter(
      int count,
      int width,
      float[] weight,
      int[] chosen,
      int list,
      float[] x,
      int xo,
      float @Nullable [] to,
      int o) {
    for (int s = 0; s < count && to != null; s++) {
      kernels.axpy(width, weight[s], x, xo, to, o + chosen[list + s] * width);
    }
  }
}
