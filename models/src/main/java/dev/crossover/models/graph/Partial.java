// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.graph;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// A gradient that is summed per block of rows first and over the blocks in their order afterwards,
/// so that its bits do not depend on threads: biases, norm weights, numbers per head.
public final class Partial {
  private static final int COLUMNS_PER_TASK = 512;

  private final Rows rows;
  private final int width;
  private final float[] target;
  private final int offset;
  private final float[] sums;

  Partial(Scratch scratch, Rows rows, int width, float[] target, int offset) {
    this.rows = rows;
    this.width = width;
    this.target = target;
    this.offset = offset;
    sums = scratch.floats((long) rows.mostBlocks() * width);
  }

  /// Sums of all blocks, `[blocks, width]`.
  public float[] sums() {
    return sums;
  }

  /// Clears the sums of the block that starts at a row and returns where they lie.
  public int start(int from) {
    int at = from / rows.block() * width;
    Arrays.fill(sums, at, at + width, 0);
    return at;
  }

  int tasks() {
    return Math.ceilDiv(width, COLUMNS_PER_TASK);
  }

  long work() {
    return (long) rows.blocks() * width;
  }

  void reduce(int task) {
    int first = task * COLUMNS_PER_TASK;
    int count = Math.min(COLUMNS_PER_TASK, width - first);
    Kernels kernels = Kernels.get();
    for (int block = 0; block < rows.blocks(); block++) {
      int to = offset + first;
      kernels.add(count, target, to, sums, block * width + first, target, to);
    }
  }
}
