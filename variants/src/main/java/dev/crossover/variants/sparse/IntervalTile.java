package dev.crossover.variants.sparse;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;

/// One worker's block of query rows, each of which sees an interval of packed keys, with holes.
///
/// ```
/// begin(rows)
/// see(row, from, to)      for every row
/// attend(keys, values)    any number of times, each with intervals of its own
/// finish(output)
/// ```
public final class IntervalTile {
  private final SoftmaxTile tile;
  private final int[] low;
  private final int[] high;
  private int rows;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows in a block
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public IntervalTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    tile = new SoftmaxTile(scratch, maxRows, dim, valueDim);
    low = scratch.ints(maxRows);
    high = scratch.ints(maxRows);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxRows, int dim, int valueDim) {
    return SoftmaxTile.bytes(maxRows, dim, valueDim) + 2L * maxRows * Integer.BYTES;
  }

  /// Starts a block of evenly spaced query rows; see [SoftmaxTile#begin].
  public void begin(float[] q, int qo, int ldq, int newRows, float scale) {
    rows = newRows;
    tile.begin(q, qo, ldq, newRows, scale);
  }

  /// Starts a block of gathered query rows; see [SoftmaxTile#begin].
  public void begin(float[] q, int qo, int ldq, int[] index, int from, int newRows, float scale) {
    rows = newRows;
    tile.begin(q, qo, ldq, index, from, newRows, scale);
  }

  /// Number of query rows in the block.
  public int rows() {
    return rows;
  }

  /// Row r sees the panel positions `from … to - 1` of the next [#attend]; none if `from >= to`.
  public void see(int r, int from, int to) {
    low[r] = from;
    high[r] = Math.max(from, to);
  }

  /// Attends to every key of the rows' intervals.
  ///
  /// @param v values, the value of the key at panel position j starts at `vo + j * ldv`
  public void attend(KeyPanels keys, float[] v, int vo, int ldv) {
    int from = first();
    int to = last();
    if (from < to) {
      tile.attend(keys, v, vo, ldv, from, to, low, 0, high, 0);
    }
  }

  /// Attends to the keys of the rows' intervals that are of a wanted kind, run by run.
  ///
  /// @param v values, the value of the key at panel position j starts at `vo + j * ldv`
  /// @param kind the kind of the key at panel position j is `kind[kindOffset + j * kindStride]`
  /// @param wanted the kinds that are seen, as bits
  public void attend(
      KeyPanels keys, float[] v, int vo, int ldv,
      int[] kind, int kindOffset, int kindStride, int wanted) {
    int end = last();
    int from = first();
    while (from < end) {
      if ((kind[kindOffset + from * kindStride] & wanted) == 0) {
        from++;
        continue;
      }
      int to = from + 1;
      while (to < end && (kind[kindOffset + to * kindStride] & wanted) != 0) {
        to++;
      }
      tile.attend(keys, v, vo, ldv, from, to, low, 0, high, 0);
      from = to;
    }
  }

  /// Lets every row see the keys at panel positions `from … to - 1` with an addition to each scaled
  /// score; see [SoftmaxTile#attendBiased].
  public void attendBiased(
      KeyPanels keys, float[] v, int vo, int ldv, int from, int to,
      float[] bias, int bo, int ldb) {
    if (from < to) {
      tile.attendBiased(keys, v, vo, ldv, from, to, bias, bo, ldb);
    }
  }

  /// Divides and writes the output rows; see [SoftmaxTile#finish].
  public void finish(float[] out, int oo, int ldo) {
    tile.finish(out, oo, ldo);
  }

  /// Divides and writes the output rows and their log-sum-exp; see [SoftmaxTile#finish].
  public void finish(float[] out, int oo, int ldo, float[] lse, int lo) {
    tile.finish(out, oo, ldo, lse, lo);
  }

  private int first() {
    int from = Integer.MAX_VALUE;
    for (int r = 0; r < rows; r++) {
      if (low[r] < high[r]) {
        from = Math.min(from, low[r]);
      }
    }
    return from;
  }

  private int last() {
    int to = Integer.MIN_VALUE;
    for (int r = 0; r < rows; r++) {
      if (low[r] < high[r]) {
        to = Math.max(to, high[r]);
      }
    }
    return to;
  }
}
