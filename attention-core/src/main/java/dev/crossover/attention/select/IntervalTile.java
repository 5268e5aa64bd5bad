// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.RowIntervals;
import dev.crossover.attention.kernel.SoftmaxTile;
import org.jspecify.annotations.Nullable;

/// One worker's block of query rows, each of which sees an interval of packed keys, with holes.
///
/// ```
/// begin(rows)
/// see(row, from, to)      for every row
/// attend(keys, values)    any number of times, each with intervals of its own
/// finish(output)
/// ```
///
/// Values that do not lie row after row are gathered first, once for all rows of the block: strides
/// that are powers of two would otherwise meet in few cache sets.
public final class IntervalTile implements RowIntervals {
  private static final int GATHERED = 256;

  private final SoftmaxTile tile;
  private final int valueDim;
  private final float[] values;
  private final int[] low;
  private final int[] high;
  private final int[] waitingLow;
  private final int[] waitingHigh;
  private boolean waiting;
  private int rows;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows in a block
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public IntervalTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    this.valueDim = valueDim;
    tile = new SoftmaxTile(scratch, maxRows, dim, valueDim);
    values = scratch.floats((long) GATHERED * valueDim);
    low = scratch.ints(maxRows);
    high = scratch.ints(maxRows);
    waitingLow = scratch.ints(maxRows);
    waitingHigh = scratch.ints(maxRows);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxRows, int dim, int valueDim) {
    return SoftmaxTile.bytes(maxRows, dim, valueDim)
        + 4L * maxRows * Integer.BYTES
        + (long) GATHERED * valueDim * Float.BYTES;
  }

  /// Starts a block of evenly spaced query rows; see [SoftmaxTile#begin].
  public void begin(float[] q, int qo, int ldq, int newRows, float scale) {
    rows = newRows;
    waiting = false;
    tile.begin(q, qo, ldq, newRows, scale);
  }

  /// Starts a block of gathered query rows; see [SoftmaxTile#begin].
  public void begin(float[] q, int qo, int ldq, int[] index, int from, int newRows, float scale) {
    rows = newRows;
    waiting = false;
    tile.begin(q, qo, ldq, index, from, newRows, scale);
  }

  /// Number of query rows in the block.
  public int rows() {
    return rows;
  }

  /// Row r sees the panel positions `from … to - 1` of the next [#attend]; none if `from >= to`.
  @Override
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
      run(keys, v, vo, ldv, from, to);
    }
  }

  /// Attends to the keys at panel positions `from … to - 1`, as far as they lie in the rows'
  /// intervals, which thus serve for several ranges.
  public void attend(KeyPanels keys, float[] v, int vo, int ldv, int from, int to) {
    if (from < to) {
      run(keys, v, vo, ldv, from, to);
    }
  }

  /// Attends to the keys of the rows' intervals that are of a wanted kind, run by run.
  ///
  /// @param v values, the value of the key at panel position j starts at `vo + j * ldv`
  /// @param kind the kind of the key at panel position j is `kind[kindOffset + j * kindStride]`
  /// @param wanted the kinds that are seen, as bits
  public void attend(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int[] kind,
      int kindOffset,
      int kindStride,
      int wanted) {
    attend(keys, v, vo, ldv, first(), last(), kind, kindOffset, kindStride, wanted);
  }

  /// Attends to the keys of a wanted kind at panel positions `begin … end - 1`, as far as they lie
  /// in the rows' intervals.
  public void attend(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int begin,
      int end,
      int[] kind,
      int kindOffset,
      int kindStride,
      int wanted) {
    int from = begin;
    while (from < end) {
      if ((kind[kindOffset + from * kindStride] & wanted) == 0) {
        from++;
        continue;
      }
      int to = from + 1;
      while (to < end && (kind[kindOffset + to * kindStride] & wanted) != 0) {
        to++;
      }
      run(keys, v, vo, ldv, from, to);
      from = to;
    }
  }

  /// Like [#attend], but later: intervals that continue those of the call before are joined to
  /// them, so that neighbouring runs cost one pass. [#flush] ends it.
  public void defer(KeyPanels keys, float[] v, int vo, int ldv) {
    if (first() >= last()) {
      return;
    }
    boolean joins = waiting;
    for (int r = 0; r < rows && joins; r++) {
      boolean empty = low[r] >= high[r] || waitingLow[r] >= waitingHigh[r];
      joins = empty || waitingHigh[r] == low[r];
    }
    if (!joins) {
      boolean older = waiting;
      for (int r = 0; r < rows; r++) {
        int newLow = low[r];
        int newHigh = high[r];
        low[r] = waitingLow[r];
        high[r] = waitingHigh[r];
        waitingLow[r] = newLow;
        waitingHigh[r] = newHigh;
      }
      waiting = true;
      if (older) {
        attend(keys, v, vo, ldv);
      }
      return;
    }
    for (int r = 0; r < rows; r++) {
      if (waitingLow[r] >= waitingHigh[r]) {
        waitingLow[r] = low[r];
        waitingHigh[r] = high[r];
      } else if (low[r] < high[r]) {
        waitingHigh[r] = high[r];
      }
    }
  }

  /// Attends to what [#defer] still holds.
  public void flush(KeyPanels keys, float[] v, int vo, int ldv) {
    if (waiting) {
      waiting = false;
      System.arraycopy(waitingLow, 0, low, 0, rows);
      System.arraycopy(waitingHigh, 0, high, 0, rows);
      attend(keys, v, vo, ldv);
    }
  }

  /// Lets every row see the keys at panel positions `from … to - 1` with an addition to each scaled
  /// score; see [SoftmaxTile#attendBiased].
  public void attendBiased(
      KeyPanels keys, float[] v, int vo, int ldv, int from, int to, float[] bias, int bo, int ldb) {
    if (from < to) {
      tile.attendBiased(keys, v, vo, ldv, from, to, bias, bo, ldb);
    }
  }

  /// Puts the block aside; see [SoftmaxTile#suspend].
  public void suspend(float[] x, int xo, int ldx, float[] marks, int mo, int ldm) {
    tile.suspend(x, xo, ldx, marks, mo, ldm);
  }

  /// Puts a block of gathered rows aside; see [SoftmaxTile#suspend].
  public void suspend(
      float[] x, int xo, int ldx, int[] index, int from, float[] marks, int mo, int ldm) {
    tile.suspend(x, xo, ldx, index, from, marks, mo, ldm);
  }

  /// Takes up a block; see [SoftmaxTile#resume].
  public void resume(float[] x, int xo, int ldx, float[] marks, int mo, int ldm) {
    tile.resume(x, xo, ldx, marks, mo, ldm);
  }

  /// Takes up a block of gathered rows; see [SoftmaxTile#resume].
  public void resume(
      float[] x, int xo, int ldx, int[] index, int from, float[] marks, int mo, int ldm) {
    tile.resume(x, xo, ldx, index, from, marks, mo, ldm);
  }

  /// Divides and writes the output rows; see [SoftmaxTile#finish].
  public void finish(float[] out, int oo, int ldo) {
    tile.finish(out, oo, ldo);
  }

  /// Divides and writes the output rows and their log-sum-exp; see [SoftmaxTile#finish].
  public void finish(float[] out, int oo, int ldo, float[] lse, int lo) {
    tile.finish(out, oo, ldo, lse, lo);
  }

  /// Divides and writes the output rows and, unless `lse` is null, their log-sum-exp, that of row r
  /// at `lo + r * ldl`.
  public void finish(float[] out, int oo, int ldo, float @Nullable [] lse, int lo, int ldl) {
    if (lse == null) {
      tile.finish(out, oo, ldo);
    } else {
      tile.finish(out, oo, ldo, lse, lo, ldl);
    }
  }

  private void run(KeyPanels keys, float[] v, int vo, int ldv, int from, int to) {
    if (ldv == valueDim) {
      tile.attend(keys, v, vo, ldv, from, to, low, 0, high, 0);
      return;
    }
    for (int start = from; start < to; ) {
      int stop = Math.min(to, (start / GATHERED + 1) * GATHERED);
      for (int j = start; j < stop; j++) {
        System.arraycopy(v, vo + j * ldv, values, (j - start) * valueDim, valueDim);
      }
      tile.attend(keys, values, -start * valueDim, valueDim, start, stop, low, 0, high, 0);
      start = stop;
    }
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
