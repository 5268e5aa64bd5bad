// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.StickPasses;
import java.util.Arrays;

/// Stick-breaking attention of one block of query rows, over tiles of keys from the newest to the
/// oldest:
///
/// ```
/// block.begin(query rows)
/// for each tile, the newest first:   block.attend(keys, values)      until block.spent()
/// block.remainder(row)
/// ```
///
/// Carries one number per row from tile to tile: the logarithm of what is left of its stick. Tiles
/// are stored key by key, see [StickPasses]. One instance belongs to one worker.
final class StickBlock {
  /// Query rows of a block.
  static final int ROWS = 64;

  /// Keys of a tile.
  static final int KEYS = 128;

  /// Logarithm to base 2 below which a float is 0.
  private static final double NOTHING = -150;

  final int dim;
  final int valueDim;

  /// Scores, then weights of the tile.
  final float[] tile;

  /// What each key of the tile leaves, as a logarithm.
  final float[] lost;

  /// Sums over the tile, one number per row.
  final float[] here;

  private final Kernels kernels = Kernels.get();
  private final float[] query;
  private final float[] finite;
  private final float[] before;
  private final double[] left;
  private int rows;

  StickBlock(Scratch scratch, int maxRows, int dim, int valueDim) {
    this.dim = dim;
    this.valueDim = valueDim;
    tile = scratch.floats((long) KEYS * maxRows);
    lost = scratch.floats((long) KEYS * maxRows);
    here = scratch.floats(maxRows);
    query = scratch.floats((long) maxRows * dim);
    finite = scratch.floats((long) KEYS * Math.max(dim, valueDim));
    before = scratch.floats(maxRows);
    left = scratch.doubles(maxRows);
  }

  static long bytes(int maxRows, int dim, int valueDim) {
    long floats = maxRows * (2L * KEYS + dim + 2) + (long) KEYS * Math.max(dim, valueDim);
    return Float.BYTES * floats + Double.BYTES * (long) maxRows;
  }

  /// Starts a block with whole sticks.
  ///
  /// @param q row r starts at `qo + r * dim`
  void begin(float[] q, int qo, int newRows, double scale) {
    rows = newRows;
    kernels.transpose(rows, dim, q, qo, dim, query, 0, rows);
    float factor = (float) (scale / Math.log(2));
    kernels.scale(rows * dim, factor, query, 0, query, 0);
    Arrays.fill(left, 0, rows, 0);
  }

  /// Number of query rows.
  int rows() {
    return rows;
  }

  /// Whether no key can get a weight that is a float.
  boolean spent() {
    for (int r = 0; r < rows; r++) {
      if (!(left[r] < NOTHING)) {
        return false;
      }
    }
    return true;
  }

  /// What is left of a row's stick.
  float remainder(int r) {
    return (float) Math.pow(2, left[r]);
  }

  /// Writes what the keys `from … to - 1` take and leave as logarithms to [#tile] and [#lost].
  ///
  /// @param k key j starts at `ko + j * dim`
  /// @param limits row r sees keys below `limits[r]`, not decreasing
  void logarithms(float[] k, int ko, int from, int to, int[] limits) {
    int keys = to - from;
    kernels.multiply(
        keys, rows, dim, k, ko + from * dim, dim, query, 0, rows, tile, 0, rows, false);
    hide(tile, from, to, limits, Float.NEGATIVE_INFINITY);
    StickPasses.logarithms(keys * rows, tile, lost);
  }

  /// Turns the logarithms into weights and takes what the tile leaves off the sticks.
  void weights(int keys) {
    for (int r = 0; r < rows; r++) {
      before[r] = (float) left[r];
    }
    StickPasses.weights(keys, rows, tile, lost, before, here);
    for (int r = 0; r < rows; r++) {
      left[r] += here[r];
    }
  }

  /// Adds the keys `from … to - 1`, all of them older than those before.
  ///
  /// @param v value j starts at `vo + j * valueDim`
  /// @param out row r starts at `oo + r * valueDim`, is added to
  void attend(
      float[] k, int ko, float[] v, int vo, int from, int to, int[] limits, float[] out, int oo) {
    int keys = to - from;
    logarithms(k, ko, from, to, limits);
    weights(keys);
    addTransposed(tile, v, vo, from, to, valueDim, limits, out, oo);
  }

  /// Fills the elements of pairs of which the row may not see the key.
  void hide(float[] x, int from, int to, int[] limits, float value) {
    int hidden = 0;
    for (int j = from; j < to; j++) {
      while (hidden < rows && limits[hidden] <= j) {
        hidden++;
      }
      int at = (j - from) * rows;
      Arrays.fill(x, at, at + hidden, value);
    }
  }

  /// `out += Xᵀ · B` for a tile X and rows `from … to - 1` of B, of which those that are not finite
  /// reach only rows of X that see them.
  void addTransposed(
      float[] x,
      float[] b,
      int bo,
      int from,
      int to,
      int width,
      int[] limits,
      float[] out,
      int oo) {
    int keys = to - from;
    int first = bo + from * width;
    boolean clean = Float.isFinite(kernels.largestMagnitude(keys * width, b, first));
    float[] source = b;
    int so = first;
    if (!clean) {
      System.arraycopy(b, first, finite, 0, keys * width);
      clear(finite, keys, width);
      source = finite;
      so = 0;
    }
    kernels.multiplyTransposedA(
        rows, width, keys, x, 0, rows, source, so, width, out, oo, width, true);
    for (int j = from; !clean && j < to; j++) {
      if (!isFinite(b, bo + j * width, width)) {
        for (int r = 0; r < rows; r++) {
          if (limits[r] > j) {
            kernels.axpy(width, x[(j - from) * rows + r], b, bo + j * width, out, oo + r * width);
          }
        }
      }
    }
  }

  /// Zeroes the rows that are not finite.
  static void clear(float[] x, int count, int width) {
    for (int row = 0; row < count; row++) {
      if (!isFinite(x, row * width, width)) {
        Arrays.fill(x, row * width, (row + 1) * width, 0);
      }
    }
  }

  static boolean isFinite(float[] x, int from, int count) {
    return Float.isFinite(Kernels.get().largestMagnitude(count, x, from));
  }
}
