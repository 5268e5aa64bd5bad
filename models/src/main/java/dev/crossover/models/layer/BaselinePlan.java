// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.kernel.Kernels;

/// Products over blocks of rows, and what they need.
abstract class BaselinePlan extends AttentionPlan {
  static final int ROWS_PER_TASK = 192;

  final Kernels kernels = Kernels.get();
  final int batch = shape.batchSize();
  final int steps = shape.querySeqLen();
  final int width = MultiHeadLayer.modelDim(shape);
  final int blocks = Math.ceilDiv(batch * steps, ROWS_PER_TASK);
  private final float[][] packs = new float[threads()][];

  BaselinePlan(PlanRequest request, int widest) {
    super(request);
    int offset = mask.causalOffset(steps, steps);
    if (offset != 0) {
      throw new IllegalArgumentException(
          request.attention().name() + ": causal offset must be 0, but was " + offset);
    }
    for (int t = 0; t < packs.length; t++) {
      packs[t] = scratch.floats(packFloats(width, widest));
    }
  }

  static int packFloats(int width, int widest) {
    return Kernels.get().transposedBScratch(widest, width);
  }

  /// Rows of a block times a map: `to = rows · mapᵀ`.
  ///
  /// @param out rows of the map
  final void map(
      int worker,
      int count,
      int out,
      float[] rows,
      int rowsAt,
      int stride,
      float[] map,
      int mapAt,
      float[] to,
      int toAt,
      int toStride,
      boolean add) {
    kernels.multiplyTransposedB(
        count,
        out,
        width,
        rows,
        rowsAt,
        stride,
        map,
        mapAt,
        width,
        to,
        toAt,
        toStride,
        add,
        packs[worker],
        0);
  }
}
