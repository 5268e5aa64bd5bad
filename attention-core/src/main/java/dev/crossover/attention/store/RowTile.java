// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;

/// One worker's room for restored rows, which stay in the first-level cache, and for products with
/// them.
public final class RowTile {
  /// Rows restored at a time.
  public static final int ROWS = 64;

  final Kernels kernels = Kernels.get();
  private final float[] rows;
  final float[] work;

  /// @param scratch allocator
  /// @param width numbers of the widest row
  public RowTile(Scratch scratch, int width) {
    rows = scratch.floats((long) ROWS * width);
    work = scratch.floats(kernels.transposedBScratch(ROWS, width));
  }

  /// Where rows are restored, one after the other.
  public float[] rows() {
    return rows;
  }
}
