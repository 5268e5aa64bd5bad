package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;

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
public final class ScoreTile {
  /// Keys whose scores lie next to each other.
  public static final int SEGMENT = 256;

  private static final int ROWS = KernelSelection.VECTOR ? Lanes.ROWS : 4;
  private static final int SCORES_IN_CACHE = 1 << 18;
  private static final int MOST_GROUPS = 16;

  private final int dim;
  private final int groups;
  private final float[] query;
  private final float[] scores;
  private final float[] zeros;

  /// @param scratch allocator
  /// @param maxKeys largest number of keys; the block takes [#rows] query rows
  /// @param dim width of query and key rows
  public ScoreTile(Scratch scratch, int maxKeys, int dim) {
    this.dim = dim;
    groups = groups(maxKeys);
    query = scratch.floats((long) groups * ROWS * dim + 16);
    scores = scratch.floats(segments(maxKeys) * groups * ROWS * SEGMENT);
    zeros = scratch.floats(ROWS);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxKeys, int dim) {
    long groups = groups(maxKeys);
    long floats = groups * ROWS * dim + 16 + segments(maxKeys) * groups * ROWS * SEGMENT + ROWS;
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
  public void compute(float[] q, int qo, int ldq, int rows, KeyPanels keys, int count) {
    if (!KernelSelection.VECTOR) {
      plain(q, qo, ldq, rows, keys, count);
      return;
    }
    int used = (rows + ROWS - 1) / ROWS;
    for (int g = 0; g < used; g++) {
      Packing.transpose(
          q,
          qo + g * ROWS * ldq,
          ldq,
          null,
          0,
          Math.min(ROWS, rows - g * ROWS),
          dim,
          1,
          query,
          g * ROWS * dim,
          ROWS,
          ROWS);
    }
    for (int from = 0; from < count; from += SEGMENT) {
      int panels = (Math.min(SEGMENT, count - from) + Lanes.PANEL - 1) / Lanes.PANEL;
      for (int g = 0; g < used; g++) {
        FusedProducts.scores(
            dim,
            query,
            g * ROWS * dim,
            keys.data,
            from * dim,
            panels,
            scores,
            (from / SEGMENT * groups + g) * ROWS * SEGMENT,
            zeros,
            0);
      }
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

  private void plain(float[] q, int qo, int ldq, int rows, KeyPanels keys, int count) {
    for (int r = 0; r < rows; r++) {
      for (int j = 0; j < count; j++) {
        float score = 0;
        for (int c = 0; c < dim; c++) {
          score = Math.fma(q[qo + r * ldq + c], keys.data[j * dim + c], score);
        }
        scores[start(r) + j / SEGMENT * stride() + j % SEGMENT] = score;
      }
    }
  }

  private static long segments(int maxKeys) {
    return (maxKeys + SEGMENT - 1L) / SEGMENT;
  }

  private static int groups(int maxKeys) {
    return Math.clamp(SCORES_IN_CACHE / (Math.max(1, maxKeys) * (long) ROWS), 1, MOST_GROUPS);
  }
}
