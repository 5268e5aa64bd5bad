// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import org.jspecify.annotations.Nullable;

/// One worker's attention over a window, the first keys, and blocks of keys that each query has
/// chosen; a key that belongs to several of them counts once.
///
/// ```
/// for each block of query rows:  attend [low, high) and [0, sink); put aside
/// for each block of keys:        gather the queries that chose it; take up; attend the part of the
///                                block outside of the row's window and first keys; put aside
/// ```
public final class ChosenBlocks {
  private static final int MARKS = 2;

  private final int blockSize;
  private final int dim;
  private final int valueDim;
  private final int rows = SoftmaxTile.preferredRows();
  private final IntervalTile tile;
  private final float[] marks;
  private final BlockQueries grouped;

  /// @param scratch allocator
  /// @param blockSize keys per block
  /// @param keySeqLen number of keys
  /// @param perQuery most blocks a query chooses
  /// @param maxQueries most queries of one call
  /// @param dim width of query and key rows
  /// @param valueDim width of value rows
  public ChosenBlocks(
      Scratch scratch,
      int blockSize,
      int keySeqLen,
      int perQuery,
      int maxQueries,
      int dim,
      int valueDim) {
    this.blockSize = blockSize;
    this.dim = dim;
    this.valueDim = valueDim;
    tile = new IntervalTile(scratch, rows, dim, valueDim);
    marks = scratch.floats((long) maxQueries * MARKS);
    int blocks = Math.ceilDiv(keySeqLen, blockSize);
    grouped = new BlockQueries(scratch, blocks, maxQueries, perQuery);
  }

  /// Bytes the constructor allocates.
  public static long bytes(
      int blockSize, int keySeqLen, int perQuery, int maxQueries, int dim, int valueDim) {
    return IntervalTile.bytes(SoftmaxTile.preferredRows(), dim, valueDim)
        + (long) maxQueries * MARKS * Float.BYTES
        + BlockQueries.bytes(Math.ceilDiv(keySeqLen, blockSize), maxQueries, perQuery);
  }

  /// What some consecutive queries of one head see.
  ///
  /// @param low first key of each query's window
  /// @param high end of each query's window; equal to `limit` and `low` where there is none
  /// @param sink end of the first keys each query sees outside of its window, at most `low`
  /// @param limit end of the keys a query may see at all
  /// @param chosen `perQuery` block numbers per query, −1 is none
  public record Visible(int[] low, int[] high, int[] sink, int[] limit, int[] chosen) {
    private static final int BORDERS = 4;

    /// Room for what some queries see.
    ///
    /// @param scratch allocator
    /// @param queries most queries
    /// @param perQuery most blocks a query chooses
    public static Visible of(Scratch scratch, int queries, int perQuery) {
      return new Visible(
          scratch.ints(queries),
          scratch.ints(queries),
          scratch.ints(queries),
          scratch.ints(queries),
          scratch.ints((long) queries * perQuery));
    }

    /// Bytes that [#of] allocates.
    public static long bytes(int queries, int perQuery) {
      return (long) (BORDERS + perQuery) * queries * Integer.BYTES;
    }
  }

  /// Attends for the queries of one head.
  ///
  /// @param q queries from `qo`
  /// @param keys packed keys in their natural order
  /// @param real where given, 0 hides the key at position j of `real[realOffset + j]`
  /// @param out receives the rows from `oo`, still to be multiplied with [#inverse]
  public void attend(
      Visible visible,
      int count,
      float[] q,
      int qo,
      float factor,
      KeyPanels keys,
      float[] v,
      int vo,
      int @Nullable [] real,
      int realOffset,
      float[] out,
      int oo) {
    for (int first = 0; first < count; first += rows) {
      int length = Math.min(rows, count - first);
      tile.begin(q, qo + first * dim, dim, length, factor);
      for (int r = 0; r < length; r++) {
        tile.see(r, visible.low[first + r], visible.high[first + r]);
      }
      attend(keys, v, vo, real, realOffset);
      for (int r = 0; r < length; r++) {
        tile.see(r, 0, visible.sink[first + r]);
      }
      attend(keys, v, vo, real, realOffset);
      tile.suspend(out, oo + first * valueDim, valueDim, marks, first * MARKS, MARKS);
    }
    grouped.group(0, count, visible.limit, 0, visible.chosen, 0);
    int[] queries = grouped.queries();
    for (int block = 0; block < grouped.blocks(); block++) {
      int end = grouped.end(block);
      for (int from = grouped.start(block); from < end; from += rows) {
        int length = Math.min(rows, end - from);
        tile.begin(q, qo, dim, queries, from, length, factor);
        tile.resume(out, oo, valueDim, queries, from, marks, 0, MARKS);
        block(visible, block, from, length, keys, v, vo, real, realOffset);
        tile.suspend(out, oo, valueDim, queries, from, marks, 0, MARKS);
      }
    }
  }

  /// The parts of a chosen block before and behind the window of each row.
  private void block(
      Visible visible,
      int block,
      int from,
      int length,
      KeyPanels keys,
      float[] v,
      int vo,
      int @Nullable [] real,
      int realOffset) {
    int start = block * blockSize;
    int stop = start + blockSize;
    int[] queries = grouped.queries();
    boolean behind = false;
    for (int r = 0; r < length; r++) {
      int query = queries[from + r];
      int first = Math.max(start, visible.sink[query]);
      tile.see(r, first, Math.min(stop, Math.min(visible.limit[query], visible.low[query])));
      behind |= Math.max(first, visible.high[query]) < Math.min(stop, visible.limit[query]);
    }
    attend(keys, v, vo, real, realOffset);
    if (!behind) {
      return;
    }
    for (int r = 0; r < length; r++) {
      int query = queries[from + r];
      int first = Math.max(Math.max(start, visible.sink[query]), visible.high[query]);
      tile.see(r, first, Math.min(stop, visible.limit[query]));
    }
    attend(keys, v, vo, real, realOffset);
  }

  private void attend(KeyPanels keys, float[] v, int vo, int @Nullable [] real, int realOffset) {
    if (real == null) {
      tile.attend(keys, v, vo, valueDim);
    } else {
      tile.attend(keys, v, vo, valueDim, real, realOffset, 1, 1);
    }
  }

  /// What a row of the last [#attend] is to be multiplied with: 1 over the sum of the weights, 0
  /// for a row that saw no key.
  public float inverse(int r) {
    float sum = marks[r * MARKS];
    return sum == 0 ? 0 : 1 / sum;
  }

  /// Log-sum-exp of a row of the last [#attend]; −∞ for one that saw no key.
  public float logSumExp(int r) {
    float sum = marks[r * MARKS];
    double reference = marks[r * MARKS + 1] * Math.log(2);
    return sum == 0 ? Float.NEGATIVE_INFINITY : (float) (reference + Math.log(sum));
  }
}
