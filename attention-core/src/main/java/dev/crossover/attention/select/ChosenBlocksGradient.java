// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;

/// One worker's backward pass of [ChosenBlocks]: windows and first keys of consecutive queries,
/// then every chosen block with the queries that chose it, without what they have seen already.
/// Which blocks were chosen is a constant.
public final class ChosenBlocksGradient {
  private final int blockSize;
  private final int rows = GradientTile.preferredRows();
  private final BlockQueries grouped;

  /// @param scratch allocator
  /// @param blockSize keys per block
  /// @param keySeqLen number of keys
  /// @param perQuery most blocks a query chooses
  /// @param maxQueries most queries of one call
  public ChosenBlocksGradient(
      Scratch scratch, int blockSize, int keySeqLen, int perQuery, int maxQueries) {
    this.blockSize = blockSize;
    grouped = new BlockQueries(scratch, Math.ceilDiv(keySeqLen, blockSize), maxQueries, perQuery);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int blockSize, int keySeqLen, int perQuery, int maxQueries) {
    return BlockQueries.bytes(Math.ceilDiv(keySeqLen, blockSize), maxQueries, perQuery);
  }

  /// Adds the gradients of consecutive queries of the head that the tile was given.
  ///
  /// @param keys position j holds key j; hidden ones have no place
  /// @param visible what the queries saw in the forward pass
  /// @param first number of the first query
  public void attend(
      GradientTile tile, GradientKeys keys, ChosenBlocks.Visible visible, int first, int count) {
    for (int from = 0; from < count; from += rows) {
      int length = Math.min(rows, count - from);
      tile.rows(first + from, 1, length);
      for (int r = 0; r < length; r++) {
        tile.see(r, visible.low()[from + r], visible.high()[from + r]);
      }
      tile.attend(keys);
      for (int r = 0; r < length; r++) {
        tile.see(r, 0, visible.sink()[from + r]);
      }
      tile.attend(keys);
      tile.finish();
    }
    grouped.group(first, count, visible.limit(), 0, visible.chosen(), 0);
    for (int block = 0; block < grouped.blocks(); block++) {
      int end = grouped.end(block);
      for (int from = grouped.start(block); from < end; from += rows) {
        int length = Math.min(rows, end - from);
        tile.rows(grouped.queries(), from, length);
        block(tile, keys, visible, first, block, from, length);
        tile.finish();
      }
    }
  }

  /// The parts of a chosen block before and behind the window of each row.
  private void block(
      GradientTile tile,
      GradientKeys keys,
      ChosenBlocks.Visible visible,
      int first,
      int block,
      int from,
      int length) {
    for (int r = 0; r < length; r++) {
      int query = grouped.queries()[from + r] - first;
      int start = Math.max(block * blockSize, visible.sink()[query]);
      int limit = Math.min((block + 1) * blockSize, visible.limit()[query]);
      tile.see(r, start, Math.min(limit, visible.low()[query]));
    }
    tile.attend(keys);
    for (int r = 0; r < length; r++) {
      int query = grouped.queries()[from + r] - first;
      int start = Math.max(block * blockSize, visible.sink()[query]);
      int limit = Math.min((block + 1) * blockSize, visible.limit()[query]);
      tile.see(r, Math.max(start, visible.high()[query]), limit);
    }
    tile.attend(keys);
  }
}
