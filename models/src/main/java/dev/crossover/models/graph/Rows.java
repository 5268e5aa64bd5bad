// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

/// Rows that operations work on block by block: the tokens of a batch, its sequences, or the
/// labelled positions.
///
/// Blocks depend on the capacity alone, so that sums over blocks have one order for any number of
/// threads.
public final class Rows {
  private static final int FEWEST = 16;
  private static final int MOST = 192;
  private static final int WANTED_BLOCKS = 32;

  private final int sequences;
  private final int length;
  private final int block;
  private int active;

  /// @param sequences number of sequences
  /// @param length rows of each
  public Rows(int sequences, int length) {
    this.sequences = sequences;
    this.length = length;
    int capacity = Math.multiplyExact(sequences, length);
    int wanted = Math.ceilDiv(capacity, WANTED_BLOCKS);
    this.block = Math.clamp((wanted + FEWEST - 1) / FEWEST * FEWEST, FEWEST, MOST);
    this.active = capacity;
  }

  /// Number of sequences.
  public int sequences() {
    return sequences;
  }

  /// Rows of a sequence.
  public int length() {
    return length;
  }

  /// The largest number of rows.
  public int capacity() {
    return sequences * length;
  }

  /// The number of rows in use.
  public int active() {
    return active;
  }

  /// Uses the first rows only.
  ///
  /// @param rows from 0 to [#capacity()]
  public void use(int rows) {
    if (rows < 0 || rows > capacity()) {
      throw new IllegalArgumentException(
          "rows must be from 0 to " + capacity() + ", but was " + rows);
    }
    active = rows;
  }

  /// Rows of a block.
  public int block() {
    return block;
  }

  /// Number of blocks in use.
  public int blocks() {
    return Math.ceilDiv(active, block);
  }

  /// The largest number of blocks.
  public int mostBlocks() {
    return Math.ceilDiv(capacity(), block);
  }
}
