// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// The query rows of a block whose gradients are computed: copies of q and ∂out, their log-sum-exps
/// and the sums of their gradients.
///
/// Copies are zero in rows that are not finite, because 0 · NaN is NaN and products mix rows that
/// see a key with rows that do not; such a row has a fault instead, and what it does see becomes
/// NaN.
final class GradientRows {
  /// Rows that a product takes together.
  static final int GROUP = KernelSelection.VECTOR ? Lanes.ROWS : 4;

  /// Padding of copies, so that none is shorter than a vector.
  static final int SLACK = 16;

  /// Rows whose ds must be NaN where they see.
  static final int NAN_SLOPE = 1;

  /// Rows whose p and ds must be NaN where they see.
  static final int NAN_WEIGHT = 2;

  final int dim;
  final int valueDim;
  final int stride;
  final float[] query;
  final float[] gradOut;
  /// −L / ln 2, L the log-sum-exp of a row; 0 for one that sees nothing.
  final float[] minusLse;
  /// −D, D = ∂out · out.
  final float[] minusD;
  final int[] faults;
  final float[] gradQuery;
  float scale;
  int count;

  GradientRows(Scratch scratch, int maxRows, int dim, int valueDim) {
    int padded = padded(maxRows);
    this.dim = dim;
    this.valueDim = valueDim;
    stride = GradientKeys.stride(dim);
    query = scratch.floats((long) maxRows * dim + SLACK);
    gradOut = scratch.floats((long) maxRows * valueDim + SLACK);
    minusLse = scratch.floats(padded);
    minusD = scratch.floats(padded);
    faults = scratch.ints(padded);
    gradQuery = scratch.floats((long) padded * stride);
  }

  static long bytes(int maxRows, int dim, int valueDim) {
    long words =
        (long) maxRows * (dim + valueDim)
            + 2L * SLACK
            + padded(maxRows) * (3L + GradientKeys.stride(dim));
    return words * Float.BYTES;
  }

  static int padded(int rows) {
    return (rows + GROUP - 1) / GROUP * GROUP;
  }

  /// Forgets the block before; [#take] must follow for each row.
  void begin(int newCount, float newScale) {
    count = newCount;
    scale = newScale;
    Arrays.fill(gradQuery, 0, padded(count) * stride, 0);
  }

  void take(int r, float[] q, int qo, float[] go, int goo, float lse, float delta) {
    System.arraycopy(q, qo, query, r * dim, dim);
    System.arraycopy(go, goo, gradOut, r * valueDim, valueDim);
    boolean empty = lse == Float.NEGATIVE_INFINITY;
    minusLse[r] = empty ? 0 : (float) (-lse / Math.log(2));
    minusD[r] = -delta;
    faults[r] =
        (Float.isFinite(minusLse[r]) ? 0 : NAN_WEIGHT) | (Float.isFinite(delta) ? 0 : NAN_SLOPE);
  }

  /// Multiplies the copy of ∂out.
  void scaleGradOut(int r, float factor) {
    Kernels.get().scale(valueDim, factor, gradOut, r * valueDim, gradOut, r * valueDim);
  }

  /// Zeroes copies that are not finite; products of their rows must have been prepared before.
  void finish() {
    clear(query, dim, gradOut, valueDim, count, faults);
  }

  /// Zeroes the rows of two copies that are not finite, and notes them as faults.
  static void clear(
      float[] query, int dim, float[] gradOut, int valueDim, int count, int[] faults) {
    if (finite(query, 0, count * dim) && finite(gradOut, 0, count * valueDim)) {
      return;
    }
    for (int r = 0; r < count; r++) {
      if (!finite(query, r * dim, dim) || !finite(gradOut, r * valueDim, valueDim)) {
        faults[r] |= NAN_WEIGHT;
      }
    }
    clear(query, dim, count);
    clear(gradOut, valueDim, count);
  }

  /// Zeroes the rows of a copy that are not finite.
  static void clear(float[] x, int width, int count) {
    if (finite(x, 0, count * width)) {
      return;
    }
    for (int r = 0; r < count; r++) {
      if (!finite(x, r * width, width)) {
        Arrays.fill(x, r * width, (r + 1) * width, 0);
      }
    }
  }

  private static boolean finite(float[] x, int from, int count) {
    if (KernelSelection.VECTOR) {
      return ScorePasses.finite(count, x, from, 1);
    }
    for (int i = from; i < from + count; i++) {
      if (!Float.isFinite(x[i])) {
        return false;
      }
    }
    return true;
  }
}
