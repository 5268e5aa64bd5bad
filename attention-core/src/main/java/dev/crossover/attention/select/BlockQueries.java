// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.select;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Which queries chose a block of keys: the lists of chosen blocks, turned around.
final class BlockQueries {
  private final int perQuery;
  private final int[] next;
  private final int[] queries;

  /// @param scratch allocator
  /// @param blocks number of blocks
  /// @param maxQueries most queries at once
  /// @param perQuery most blocks a query chooses
  BlockQueries(Scratch scratch, int blocks, int maxQueries, int perQuery) {
    this.perQuery = perQuery;
    next = scratch.ints(blocks + 1L);
    queries = scratch.ints((long) maxQueries * perQuery);
  }

  /// Bytes the constructor allocates.
  static long bytes(int blocks, int maxQueries, int perQuery) {
    return (blocks + 1L + (long) maxQueries * perQuery) * Integer.BYTES;
  }

  /// Lists the queries of each block.
  ///
  /// @param first number of the first query
  /// @param count number of queries
  /// @param limit number of leading keys query r sees, from `limitOffset`; one that sees none is
  ///     left out
  /// @param chosen `perQuery` block numbers per query from `at`; −1 is none
  void group(int first, int count, int[] limit, int limitOffset, int[] chosen, int at) {
    Arrays.fill(next, 0);
    for (int s = 0; s < count * perQuery; s++) {
      if (limit[limitOffset + s / perQuery] > 0) {
        next[chosen[at + s] + 1]++;
      }
    }
    next[0] = 0;
    for (int b = 1; b < next.length; b++) {
      next[b] += next[b - 1];
    }
    for (int s = 0; s < count * perQuery; s++) {
      if (chosen[at + s] >= 0 && limit[limitOffset + s / perQuery] > 0) {
        queries[next[chosen[at + s]]++] = first + s / perQuery;
      }
    }
  }

  /// Number of blocks.
  int blocks() {
    return next.length - 1;
  }

  /// The queries of all blocks, those of block I at `start(I) … end(I) - 1`.
  int[] queries() {
    return queries;
  }

  int start(int block) {
    return block == 0 ? 0 : next[block - 1];
  }

  int end(int block) {
    return next[block];
  }
}
