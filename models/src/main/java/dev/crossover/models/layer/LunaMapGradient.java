// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Mask;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import org.jspecify.annotations.Nullable;

/// The backward pass of one linear map of [LunaLayer], y = x wᵀ + b, from gradients of y that lie
/// head by head, `[batch, heads, rows, D / heads]`:
///
/// ```
/// ∂x = ∂y w      ∂w = Σ ∂yᵀ x      ∂b = Σ ∂y        sums over rows and batch entries in order
/// ```
///
/// Rows that nothing reads, because padding or order hides them, are left out.
final class LunaMapGradient {
  private static final int ROWS = 64;

  private final Kernels kernels = Kernels.get();
  private final Workers workers;
  private final Mask mask;
  private final int batchSize;
  private final int width;
  private final int heads;
  private final int d;
  private final int rows;
  private final int first;
  private final int end;
  private final int blocks;
  private final float[] gradY;
  private final Workers.Task rowBlock = this::rowBlock;
  private final Workers.Task head = this::head;
  private float[] weight = new float[0];
  private float[] x = weight;
  private float @Nullable [] gradX;
  private float @Nullable [] gradWeight;
  private float @Nullable [] gradBias;

  /// @param workers run the tasks
  /// @param mask which rows are real; [Mask#none()] where all are
  /// @param sizes batch entries, D, heads, rows of x
  /// @param first first row that is read
  /// @param end end of the rows that are read
  /// @param gradY gradients of y
  LunaMapGradient(Workers workers, Mask mask, int[] sizes, int first, int end, float[] gradY) {
    this.workers = workers;
    this.mask = mask;
    batchSize = sizes[0];
    width = sizes[1];
    heads = sizes[2];
    rows = sizes[3];
    d = width / heads;
    this.first = first;
    this.end = end;
    blocks = Math.ceilDiv(rows, ROWS);
    this.gradY = gradY;
  }

  /// Adds the gradients that are wanted; null for those that are not.
  void run(
      float[] newWeight,
      float[] newX,
      float @Nullable [] newGradX,
      float @Nullable [] newGradWeight,
      float @Nullable [] newGradBias) {
    weight = newWeight;
    x = newX;
    gradX = newGradX;
    gradWeight = newGradWeight;
    gradBias = newGradBias;
    if (gradX != null) {
      workers.run(batchSize * blocks, rowBlock);
    }
    if (gradWeight != null || gradBias != null) {
      workers.run(heads, head);
    }
  }

  private int gradAt(int batch, int h, int row) {
    return ((batch * heads + h) * rows + row) * d;
  }

  private void rowBlock(int worker, int index) {
    float[] target = gradX;
    int batch = index / blocks;
    int from = index % blocks * ROWS;
    int count = Math.min(ROWS, rows - from);
    for (int h = 0; target != null && h < heads; h++) {
      kernels.multiply(
          count,
          width,
          d,
          gradY,
          gradAt(batch, h, from),
          d,
          weight,
          h * d * width,
          width,
          target,
          (batch * rows + from) * width,
          width,
          true);
    }
  }

  private void head(int worker, int h) {
    for (int batch = 0; batch < batchSize; batch++) {
      for (int from = mask.nextReal(batch, first, end); from < end; ) {
        int to = mask.nextPadding(batch, from, end);
        float[] target = gradWeight;
        if (target != null) {
          kernels.multiplyTransposedA(
              d,
              width,
              to - from,
              gradY,
              gradAt(batch, h, from),
              d,
              x,
              (batch * rows + from) * width,
              width,
              target,
              h * d * width,
              width,
              true);
        }
        float[] sum = gradBias;
        for (int row = from; sum != null && row < to; row++) {
          kernels.add(d, sum, h * d, gradY, gradAt(batch, h, row), sum, h * d);
        }
        from = mask.nextReal(batch, to, end);
      }
    }
  }
}
