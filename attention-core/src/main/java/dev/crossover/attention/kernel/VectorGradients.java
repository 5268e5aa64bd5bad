// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.PANEL;
import static dev.crossover.attention.kernel.Lanes.ROWS;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The gradients of [GradientTile], fused, on vectors. With scores in units of log 2:
///
/// ```
/// for each few panels of keys that some row sees
///   for each group of ROWS rows that sees some of them
///     p  = 2^(q · kᵀ − lse)              the accumulators start at −lse
///     ds = p ∘ (∂out · vᵀ − D)           the accumulators start at −D
///     zero where a row may not see;      ∂q += ds · k
///   for each ROWS keys                   over the groups that see some of them
///     ∂v += pᵀ · ∂out;   ∂k += dsᵀ · q
/// ```
final class VectorGradients implements GradientEngine {
  private static final int TILE = Lanes.TILE;
  private static final int MOST_GROUPS = 8;

  /// Keys of a tile: a multiple of every panel and so much less than TILE that a block of ∂k rows
  /// stays within it.
  private static final int SPAN = PANEL == 32 ? 192 : 240;

  private final int dim;
  private final int valueDim;
  private final float[] query;
  private final float[] gradOut;
  private final float[] p;
  private final float[] ds;
  /// First and last column that a group of rows sees in the tile; nothing where they are equal.
  private final int[] first;

  private final int[] last;

  VectorGradients(Scratch scratch, int maxRows, int dim, int valueDim) {
    int padded = GradientRows.padded(maxRows);
    this.dim = dim;
    this.valueDim = valueDim;
    query = scratch.floats((long) padded * dim + GradientRows.SLACK);
    gradOut = scratch.floats((long) padded * valueDim + GradientRows.SLACK);
    p = scratch.floats((padded + 1L) * TILE);
    ds = scratch.floats((padded + 1L) * TILE);
    first = scratch.ints(padded / ROWS);
    last = scratch.ints(padded / ROWS);
  }

  static long bytes(int maxRows, int dim, int valueDim) {
    long padded = GradientRows.padded(maxRows);
    long words =
        padded * (dim + valueDim)
            + 2L * GradientRows.SLACK
            + 2 * (padded + 1) * TILE
            + 2 * padded / ROWS;
    return words * Float.BYTES;
  }

  /// Rows whose weights stay in a core's own cache.
  static int preferredRows() {
    return MOST_GROUPS * ROWS;
  }

  @Override
  public void begin(GradientRows rows) {
    pack(rows.query, dim, rows.count, (float) (rows.scale / Math.log(2)), query);
    pack(rows.gradOut, valueDim, rows.count, 1, gradOut);
  }

  private static void pack(float[] rows, int width, int count, float factor, float[] groups) {
    for (int r = 0; r < count; r += ROWS) {
      int some = Math.min(ROWS, count - r);
      Packing.transpose(rows, r * width, width, some, width, factor, groups, r * width, ROWS, ROWS);
    }
  }

  @Override
  public void attend(
      GradientRows rows,
      GradientKeys keys,
      int from,
      int to,
      int[] low,
      int[] high,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    for (int tile = from & -PANEL; tile < to; tile += SPAN) {
      int begin = SPAN;
      int end = 0;
      for (int g = 0; g * ROWS < rows.count; g++) {
        columns(rows, g, tile, from, to, low, high);
        if (first[g] < last[g]) {
          begin = Math.min(begin, first[g]);
          end = Math.max(end, last[g]);
        }
      }
      if (begin >= end) {
        continue;
      }
      for (int g = 0; g * ROWS < rows.count; g++) {
        if (first[g] < last[g]) {
          scores(rows, keys, g, tile, bias, bo + tile - from, ldb);
          hide(rows, g, tile, from, to, low, high, bias, bo + tile - from, ldb, begin, end);
          FusedProducts.weighted(
              dim,
              last[g] - first[g],
              ds,
              g * ROWS * TILE + first[g],
              keys.keyRows,
              (tile + first[g]) * dim,
              dim,
              rows.gradQuery,
              g * ROWS * rows.stride,
              rows.stride);
        } else {
          clear(g, begin, end);
        }
      }
      accumulate(rows, keys, tile, begin, end);
    }
  }

  /// The columns of the tile that a group of rows sees.
  private void columns(
      GradientRows rows, int g, int tile, int from, int to, int[] low, int[] high) {
    int begin = SPAN;
    int end = 0;
    for (int r = g * ROWS; r < Math.min(rows.count, (g + 1) * ROWS); r++) {
      int a = Math.max(Math.max(from, low[r]) - tile, 0);
      int b = Math.min(Math.min(to, high[r]) - tile, SPAN);
      if (a < b) {
        begin = Math.min(begin, a);
        end = Math.max(end, b);
      }
    }
    first[g] = begin;
    last[g] = Math.max(begin, end);
  }

  /// p and ds of a group, in whole panels, for all pairs whether seen or not.
  private void scores(
      GradientRows rows,
      GradientKeys keys,
      int g,
      int tile,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    int row = g * ROWS;
    int a = first[g] & -PANEL;
    int panels = (last[g] - a + PANEL - 1) / PANEL;
    int at = row * TILE + a;
    FusedProducts.scores(
        dim,
        query,
        row * dim,
        keys.keyPanels.data,
        (tile + a) * dim,
        panels,
        p,
        at,
        rows.minusLse,
        row);
    for (int r = row; bias != null && r < Math.min(rows.count, row + ROWS); r++) {
      for (int j = first[g]; j < last[g]; j++) {
        p[r * TILE + j] += bias[bo + r * ldb + j] * VectorMath.LOG2E;
      }
    }
    FusedProducts.scores(
        valueDim,
        gradOut,
        row * valueDim,
        keys.valuePanels.data,
        (tile + a) * valueDim,
        panels,
        ds,
        at,
        rows.minusD,
        row);
    ScorePasses.weightGradients(p, ds, at, panels * PANEL);
  }

  /// Zeroes p and ds of a group among the columns of the block where a row may not see, and makes
  /// NaN what a faulty row sees.
  private void hide(
      GradientRows rows,
      int g,
      int tile,
      int from,
      int to,
      int[] low,
      int[] high,
      float @Nullable [] bias,
      int bo,
      int ldb,
      int begin,
      int end) {
    for (int r = g * ROWS; r < (g + 1) * ROWS; r++) {
      int a = begin;
      int b = begin;
      if (r < rows.count) {
        a = Math.clamp(Math.max(from, low[r]) - (long) tile, begin, end);
        b = Math.clamp(Math.min(to, high[r]) - (long) tile, a, end);
      }
      fill(r, begin, a, 0);
      fill(r, b, end + ROWS, 0);
      if (r < rows.count && rows.faults[r] != 0) {
        int o = r * TILE;
        Arrays.fill(ds, o + a, o + b, Float.NaN);
        if (rows.faults[r] >= GradientRows.NAN_WEIGHT) {
          Arrays.fill(p, o + a, o + b, Float.NaN);
        }
      }
      for (int j = a; bias != null && j < b; j++) {
        if (bias[bo + r * ldb + j] == Float.NEGATIVE_INFINITY) {
          p[r * TILE + j] = 0;
          ds[r * TILE + j] = 0;
        }
      }
    }
  }

  private void clear(int g, int begin, int end) {
    for (int r = g * ROWS; r < (g + 1) * ROWS; r++) {
      fill(r, begin, end + ROWS, 0);
    }
  }

  private void fill(int r, int from, int to, float value) {
    if (from < to) {
      Arrays.fill(p, r * TILE + from, r * TILE + to, value);
      Arrays.fill(ds, r * TILE + from, r * TILE + to, value);
    }
  }

  /// ∂v += pᵀ · ∂out and ∂k += dsᵀ · q for one tile of keys.
  private void accumulate(GradientRows rows, GradientKeys keys, int tile, int begin, int end) {
    int groups = (rows.count + ROWS - 1) / ROWS;
    for (int j = begin; j < end; j += ROWS) {
      int a = 0;
      while (a < groups && !sees(a, j)) {
        a++;
      }
      int b = groups;
      while (b > a && !sees(b - 1, j)) {
        b--;
      }
      if (a == b) {
        continue;
      }
      int row = a * ROWS;
      int count = Math.min(rows.count, b * ROWS) - row;
      FusedProducts.transposed(
          valueDim,
          count,
          p,
          row * TILE + j,
          rows.gradOut,
          row * valueDim,
          valueDim,
          keys.gradValue,
          (tile + j) * keys.valueStride,
          keys.valueStride);
      FusedProducts.transposed(
          dim,
          count,
          ds,
          row * TILE + j,
          rows.query,
          row * dim,
          dim,
          keys.gradKey,
          (tile + j) * keys.keyStride,
          keys.keyStride);
    }
  }

  /// Whether a group sees one of the ROWS columns from j on.
  private boolean sees(int g, int j) {
    return first[g] < last[g] && first[g] < j + ROWS && j < last[g];
  }
}
