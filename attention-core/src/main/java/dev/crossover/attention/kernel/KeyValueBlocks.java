// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.AttentionShape;
import java.util.ArrayList;
import java.util.List;

/// Keys and values of every position so far, in blocks of 1024 positions that are allocated when
/// they are reached and never moved; for decoding with [ShortQueries], which reads rows where they
/// lie.
public final class KeyValueBlocks {
  private static final int BLOCK = 1024;

  private final int heads;
  private final int dim;
  private final int valueDim;
  private final List<float[]> keys = new ArrayList<>();
  private final List<float[]> values = new ArrayList<>();

  /// @param shape batch entries, key/value heads and widths; its lengths do not matter
  public KeyValueBlocks(AttentionShape shape) {
    heads = shape.batchSize() * shape.numKeyValueHeads();
    dim = shape.headDim();
    valueDim = shape.valueDim();
  }

  /// Takes row `t` of every head as a position that is at most one after the last.
  ///
  /// @param position where the row belongs, from 0
  /// @param k key rows `[heads, tokens, dim]`
  /// @param v value rows `[heads, tokens, valueDim]`
  /// @param t row within every head's block
  /// @param tokens rows of every head's block
  public void put(int position, float[] k, float[] v, int t, int tokens) {
    int block = position / BLOCK;
    if (block == keys.size()) {
      keys.add(new float[heads * BLOCK * dim]);
      values.add(new float[heads * BLOCK * valueDim]);
    }
    for (int h = 0; h < heads; h++) {
      int from = h * tokens + t;
      int to = h * BLOCK + position % BLOCK;
      System.arraycopy(k, from * dim, keys.get(block), to * dim, dim);
      System.arraycopy(v, from * valueDim, values.get(block), to * valueDim, valueDim);
    }
  }

  /// Lets every row of the queries see the first `positions` positions of a head.
  ///
  /// @param head (batch entry, key/value head) pair
  public void attend(ShortQueries queries, int head, int positions) {
    for (int from = 0; from < positions; from += BLOCK) {
      int block = from / BLOCK;
      queries.attend(
          keys.get(block),
          head * BLOCK * dim,
          values.get(block),
          head * BLOCK * valueDim,
          0,
          Math.min(BLOCK, positions - from),
          null,
          null,
          0,
          0);
    }
  }

  /// Bytes that this many positions need.
  public long bytes(int positions) {
    return (long) heads * positions * (dim + valueDim) * Float.BYTES;
  }

  /// Gives every block back.
  public void clear() {
    keys.clear();
    values.clear();
  }
}
