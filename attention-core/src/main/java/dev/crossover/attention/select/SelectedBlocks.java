// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;

/// One worker's causal attention over blocks of keys that each query has chosen: its own block up
/// to itself, and whole blocks before it.
///
/// The queries that chose a block are gathered and meet it as one dense tile, which takes up where
/// the query's block before left off and is divided at the end: what algorithm 1 of Lu et al.,
/// arXiv:2502.13189, does by merging log-sum-exps.
public final class SelectedBlocks {
  /// Between 60 and 192, NSA's time at n = 8192 changes by less than 1 %.
  private static final int QUERIES_PER_BLOCK = 96;

  private static final int FEWEST_QUERIES = 768;
  private static final int MARKS = 2;

  private final int blockSize;
  private final int perQuery;
  private final int dim;
  private final int valueDim;
  private final int rows = SoftmaxTile.preferredRows();
  private final IntervalTile tile;
  private final float[] marks;
  private final BlockQueries grouped;

  /// @param scratch allocator
  /// @param blockSize keys per block
  /// @param seqLen number of keys n
  /// @param perQuery most blocks a query chooses besides its own
  /// @param dim width of query and key rows
  /// @param valueDim width of value rows
  public SelectedBlocks(
      Scratch scratch, int blockSize, int seqLen, int perQuery, int dim, int valueDim) {
    this.blockSize = blockSize;
    this.perQuery = perQuery;
    this.dim = dim;
    this.valueDim = valueDim;
    int most = queriesAtOnce(blockSize, seqLen, perQuery);
    tile = new IntervalTile(scratch, rows, dim, valueDim);
    marks = scratch.floats((long) most * MARKS);
    grouped = new BlockQueries(scratch, Math.ceilDiv(seqLen, blockSize), most, perQuery);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int blockSize, int seqLen, int perQuery, int dim, int valueDim) {
    int rows = SoftmaxTile.preferredRows();
    int most = queriesAtOnce(blockSize, seqLen, perQuery);
    return IntervalTile.bytes(rows, dim, valueDim)
        + BlockQueries.bytes(Math.ceilDiv(seqLen, blockSize), most, perQuery)
        + (long) most * MARKS * Float.BYTES;
  }

  /// How many consecutive queries to take at once, so that enough of them choose the same block.
  public static int queriesAtOnce(int blockSize, int seqLen, int perQuery) {
    long blocks = Math.ceilDiv(seqLen, blockSize);
    long wanted = QUERIES_PER_BLOCK * blocks / Math.max(1, perQuery);
    return (int) Math.min(seqLen, Math.max(FEWEST_QUERIES, wanted));
  }

  /// Attends for `count` consecutive queries of one head.
  ///
  /// @param q queries from `qo`
  /// @param limit number of leading keys query r sees, from `limitOffset`; 0 makes its row zero
  /// @param chosen `perQuery` block numbers per query from `chosenOffset`, all before the block of
  ///     the query's last key; −1 is none
  /// @param out receives the rows from `oo`, still to be multiplied with [#inverse]
  public void attend(
      float[] q,
      int qo,
      int count,
      float factor,
      KeyPanels keys,
      float[] v,
      int vo,
      int[] limit,
      int limitOffset,
      int[] chosen,
      int chosenOffset,
      float[] out,
      int oo) {
    for (int first = 0; first < count; first += rows) {
      int length = Math.min(rows, count - first);
      tile.begin(q, qo + first * dim, dim, length, factor);
      for (int r = 0; r < length; r++) {
        int seen = limit[limitOffset + first + r];
        tile.see(r, Math.max(0, seen - 1) / blockSize * blockSize, seen);
      }
      tile.attend(keys, v, vo, valueDim);
      tile.suspend(out, oo + first * valueDim, valueDim, marks, first * MARKS, MARKS);
    }
    grouped.group(0, count, limit, limitOffset, chosen, chosenOffset);
    int[] queries = grouped.queries();
    for (int block = 0; block < grouped.blocks(); block++) {
      int end = grouped.end(block);
      for (int from = grouped.start(block); from < end; from += rows) {
        int length = Math.min(rows, end - from);
        tile.begin(q, qo, dim, queries, from, length, factor);
        tile.resume(out, oo, valueDim, queries, from, marks, 0, MARKS);
        for (int r = 0; r < length; r++) {
          tile.see(r, block * blockSize, (block + 1) * blockSize);
        }
        tile.attend(keys, v, vo, valueDim);
        tile.suspend(out, oo, valueDim, queries, from, marks, 0, MARKS);
      }
    }
  }

  /// What the rows of the last [#attend] are to be multiplied with: 1 over the sum of the weights,
  /// 0 for a row that saw no key.
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

  /// Chooses the `wanted` largest of some scores, the earlier of equal ones first, fewer if there
  /// are fewer.
  ///
  /// @param scores from `at`
  /// @param into receives `wanted` indices from `to` by falling score, −1 where there is none
  public static void choose(float[] scores, int at, int count, int wanted, int[] into, int to) {
    if (wanted == 0) {
      return;
    }
    int size = 0;
    float smallest = Float.NEGATIVE_INFINITY;
    for (int j = 0; j < count; j++) {
      float score = scores[at + j];
      if (size == wanted && !(score > smallest)) {
        continue;
      }
      int place = size < wanted ? size++ : size - 1;
      while (place > 0 && score > scores[at + into[to + place - 1]]) {
        into[to + place] = into[to + place - 1];
        place--;
      }
      into[to + place] = j;
      smallest = scores[at + into[to + size - 1]];
    }
    for (int s = size; s < wanted; s++) {
      into[to + s] = -1;
    }
  }
}
