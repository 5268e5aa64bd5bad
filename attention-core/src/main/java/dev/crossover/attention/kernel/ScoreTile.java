// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Raw scores `q_i · k_j` of a block of query rows against packed keys, for mechanisms that must
/// look at the scores of a row before they know which keys it keeps.
///
/// ```
/// tile.compute(query rows, keys, number of keys)
/// score of row r and key j = tile.scores()[tile.start(r) + j / SEGMENT * tile.stride() + j % SEGMENT]
/// ```
///
/// Equal key rows have bitwise equal scores at any position. A score that involves NaN is NaN and
/// touches no other. One instance belongs to one worker.
///
/// Maxima of groups of scores, see [RowSelection#maxima], are taken on request while a segment is
/// still in the first-level cache: read again later, they cost half as much as the products.
public final class ScoreTile {
  /// Keys whose scores lie next to each other.
  public static final int SEGMENT = 256;

  /// Fewest scores whose maxima are taken together.
  public static final int SMALLEST_BLOCK = 128;

  private static final int ROWS = KernelSelection.VECTOR ? Lanes.ROWS : 4;
  private static final int SCORES_IN_CACHE = 1 << 18;
  private static final int MOST_GROUPS = 16;

  private final int dim;
  private final int groups;
  private final int maximaPerRow;
  private final float[] query;
  private final float[] scores;
  private final float[] maxima;
  private final float[] zeros;

  /// @param scratch allocator
  /// @param maxKeys largest number of keys; the block takes [#rows] query rows
  /// @param dim width of query and key rows
  public ScoreTile(Scratch scratch, int maxKeys, int dim) {
    this.dim = dim;
    groups = groups(maxKeys);
    query = scratch.floats((long) groups * ROWS * dim + 16);
    scores = scratch.floats(segments(maxKeys) * groups * ROWS * SEGMENT);
    maximaPerRow = maximaPerRow(maxKeys);
    maxima = scratch.floats((long) groups * ROWS * maximaPerRow);
    zeros = scratch.floats(ROWS);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxKeys, int dim) {
    long groups = groups(maxKeys);
    long perRow = dim + segments(maxKeys) * SEGMENT + maximaPerRow(maxKeys);
    long floats = groups * ROWS * perRow + ROWS + 16;
    return floats * Float.BYTES;
  }

  /// Query rows of a block: as many as keep their scores in a core's own cache.
  public static int rows(int maxKeys) {
    return groups(maxKeys) * ROWS;
  }

  /// Computes the scores of `rows` query rows with the keys at positions `0 … count - 1`.
  ///
  /// @param q source, row r starts at `qo + r * ldq`
  /// @param rows at most [#rows]
  /// @param block scores whose [RowSelection#GROUPS] maxima are taken together: a power of two, at
  ///     least [#SMALLEST_BLOCK]; 0 takes none
  /// @param whole number of leading keys that enter the maxima, a multiple of SEGMENT
  public void compute(
      float[] q, int qo, int ldq, int rows, KeyPanels keys, int count, int block, int whole) {
    int used = (rows + ROWS - 1) / ROWS;
    for (int r = 0; r < rows && block > 0; r++) {
      int blocks = (count + block - 1) / block;
      int row = maximaStart(r);
      Arrays.fill(maxima, row, row + blocks * RowSelection.GROUPS, Float.NEGATIVE_INFINITY);
    }
    for (int g = 0; g < used && KernelSelection.VECTOR; g++) {
      int here = Math.min(ROWS, rows - g * ROWS);
      int target = g * ROWS * dim;
      Packing.transpose(q, qo + g * ROWS * ldq, ldq, here, dim, 1, query, target, ROWS, ROWS);
    }
    for (int from = 0; from < count; from += SEGMENT) {
      int length = Math.min(SEGMENT, count - from);
      for (int g = 0; g < used; g++) {
        int here = Math.min(ROWS, rows - g * ROWS);
        segment(q, qo, ldq, g, here, keys, from, length);
        for (int r = g * ROWS; block > 0 && from < whole && r < g * ROWS + here; r++) {
          takeMaxima(r, from, block);
        }
      }
    }
  }

  /// Scores of one group of rows and one segment of keys.
  private void segment(
      float[] q, int qo, int ldq, int g, int rows, KeyPanels keys, int from, int length) {
    int target = (from / SEGMENT * groups + g) * ROWS * SEGMENT;
    if (KernelSelection.VECTOR) {
      int panels = (length + Lanes.PANEL - 1) / Lanes.PANEL;
      int queries = g * ROWS * dim;
      FusedProducts.scores(
          dim, query, queries, keys.data, from * dim, panels, scores, target, zeros, 0);
      return;
    }
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j < length; j++) {
        float score = 0;
        for (int c = 0; c < dim; c++) {
          float key = keys.data[(from + j) * dim + c];
          score = Math.fma(q[qo + (g * ROWS + r) * ldq + c], key, score);
        }
        scores[target + r * SEGMENT + j] = score;
      }
    }
  }

  private void takeMaxima(int row, int from, int block) {
    int start = start(row) + from / SEGMENT * stride();
    int piece = Math.min(block, SEGMENT);
    for (int at = 0; at < SEGMENT; at += piece) {
      int groups = (from + at) / block * RowSelection.GROUPS;
      RowSelection.maxima(piece, scores, start + at, maxima, maximaStart(row) + groups);
    }
  }

  /// The scores; overwritten by [#compute], and free to be changed before.
  public float[] scores() {
    return scores;
  }

  /// Where the scores of a row start.
  public int start(int row) {
    return row * SEGMENT;
  }

  /// Distance from one segment of a row to the next.
  public int stride() {
    return groups * ROWS * SEGMENT;
  }

  /// The maxima: group g of block b of a row is at `maximaStart(row) + b * GROUPS + g`.
  public float[] maxima() {
    return maxima;
  }

  /// Where the maxima of a row start.
  public int maximaStart(int row) {
    return row * maximaPerRow;
  }

  private static long segments(int maxKeys) {
    return (maxKeys + SEGMENT - 1L) / SEGMENT;
  }

  private static int maximaPerRow(int maxKeys) {
    return (maxKeys + SMALLEST_BLOCK - 1) / SMALLEST_BLOCK * RowSelection.GROUPS;
  }

  private static int groups(int maxKeys) {
    return Math.clamp(SCORES_IN_CACHE / (Math.max(1, maxKeys) * (long) ROWS), 1, MOST_GROUPS);
  }
}
