// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;

/// One worker's backward pass of [SelectedBlocks]: own blocks of consecutive queries, then every
/// chosen block with the queries that chose it. Which blocks were chosen is a constant.
public final class SelectedBlocksGradient {
  private final int blockSize;
  private final int rows;
  private final BlockQueries grouped;

  /// @param scratch allocator
  /// @param blockSize keys per block
  /// @param seqLen number of keys n
  /// @param perQuery most blocks a query chooses besides its own
  /// @param maxQueries most queries at once
  /// @param rows most rows of a gradient tile
  public SelectedBlocksGradient(
      Scratch scratch, int blockSize, int seqLen, int perQuery, int maxQueries, int rows) {
    this.blockSize = blockSize;
    this.rows = rows;
    grouped = new BlockQueries(scratch, Math.ceilDiv(seqLen, blockSize), maxQueries, perQuery);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int blockSize, int seqLen, int perQuery, int maxQueries) {
    return BlockQueries.bytes(Math.ceilDiv(seqLen, blockSize), maxQueries, perQuery);
  }

  /// Adds the gradients of consecutive queries of the head that the tile was given.
  ///
  /// @param keys position j holds key j
  /// @param first number of the first query
  /// @param limit number of leading keys query r sees, from `limitOffset`; 0 for a row that sends
  ///     no gradient
  /// @param chosen `perQuery` block numbers per query from `chosenOffset`, as in the forward pass
  public void attend(
      GradientTile tile,
      GradientKeys keys,
      int first,
      int count,
      int[] limit,
      int limitOffset,
      int[] chosen,
      int chosenOffset) {
    for (int from = 0; from < count; from += rows) {
      int length = Math.min(rows, count - from);
      tile.rows(first + from, 1, length);
      for (int r = 0; r < length; r++) {
        int seen = limit[limitOffset + from + r];
        tile.see(r, Math.max(0, seen - 1) / blockSize * blockSize, seen);
      }
      tile.attend(keys);
      tile.finish();
    }
    grouped.group(first, count, limit, limitOffset, chosen, chosenOffset);
    for (int block = 0; block < grouped.blocks(); block++) {
      int end = grouped.end(block);
      for (int from = grouped.start(block); from < end; from += rows) {
        int length = Math.min(rows, end - from);
        tile.rows(grouped.queries(), from, length);
        for (int r = 0; r < length; r++) {
          tile.see(r, block * blockSize, (block + 1) * blockSize);
        }
        tile.attend(keys);
        tile.finish();
      }
    }
  }
}
