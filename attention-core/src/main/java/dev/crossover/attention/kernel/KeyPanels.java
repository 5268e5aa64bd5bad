// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import org.jspecify.annotations.Nullable;

/// Key rows arranged for [SoftmaxTile]: packed once, read by many blocks of queries.
///
/// Positions inside the panels are 0-based in the order of packing; gathering any subset of keys is
/// therefore a matter of packing it.
///
/// For vector kernels the layout is `[keys / P][dim][P]` with panels of P = two vectors, so that a
/// score kernel reads one stream; a flag per panel tells whether it holds NaN or infinities. For
/// scalar kernels keys stay rows.
public final class KeyPanels {
  private static final int WIDTH = KernelSelection.VECTOR ? 2 * KernelSelection.KERNELS.lanes() : 1;

  final int dim;
  final float[] data;
  final int[] notFinite;

  /// @param scratch allocator
  /// @param maxKeys largest number of keys
  /// @param dim width of a key row
  public KeyPanels(Scratch scratch, int maxKeys, int dim) {
    this.dim = dim;
    this.data = scratch.floats(panels(maxKeys) * WIDTH * dim);
    this.notFinite = scratch.ints(KernelSelection.VECTOR ? panels(maxKeys) : 0);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxKeys, int dim) {
    long flags = KernelSelection.VECTOR ? panels(maxKeys) : 0;
    return panels(maxKeys) * WIDTH * dim * Float.BYTES + flags * Integer.BYTES;
  }

  /// Packs `count` key rows into positions `at`, `at + 1`, …; calls for disjoint ranges of
  /// positions may run concurrently if each `at` is a multiple of [#alignment()]. Positions after
  /// the last one, up to the next multiple of the alignment, are cleared where packing starts at
  /// such a multiple.
  ///
  /// @param key source, row r starts at `ko + r * ldk`
  public void pack(float[] key, int ko, int ldk, int count, int at) {
    packRows(key, ko, ldk, null, 0, count, at);
  }

  /// Packs one key row into position `at` and leaves every other position as it is.
  ///
  /// @param key source, the row starts at `ko`
  public void replace(float[] key, int ko, int at) {
    if (KernelSelection.VECTOR) {
      column(key, ko, at / WIDTH, at % WIDTH);
    } else {
      System.arraycopy(key, ko, data, at * dim, dim);
    }
  }

  /// Packs the rows `index[from] … index[from + count - 1]` of a key block into positions `at`, ….
  ///
  /// @param key source, row r starts at `ko + r * ldk`
  public void gather(float[] key, int ko, int ldk, int[] index, int from, int count, int at) {
    packRows(key, ko, ldk, index, from, count, at);
  }

  /// Positions at which concurrent packing may start: multiples of this.
  public static int alignment() {
    return WIDTH;
  }

  private void packRows(
      float[] key, int ko, int ldk, int @Nullable [] index, int from, int count, int at) {
    int done = 0;
    while (done < count) {
      int position = at + done;
      int column = position % WIDTH;
      int rows = Math.min(WIDTH - column, count - done);
      int panel = position / WIDTH;
      int start = index == null ? ko + done * ldk : ko;
      if (!KernelSelection.VECTOR) {
        int row = index == null ? 0 : index[from + done];
        System.arraycopy(key, start + row * ldk, data, position * dim, dim);
      } else if (column == 0) {
        boolean finite = Packing.finite(key, start, ldk, index, from + done, rows, dim, 1);
        notFinite[panel] = finite ? 0 : 1;
        Packing.transpose(
            key,
            start,
            ldk,
            index,
            from + done,
            rows,
            dim,
            1,
            data,
            panel * WIDTH * dim,
            WIDTH,
            WIDTH);
      } else {
        for (int r = 0; r < rows; r++) {
          int row = index == null ? r : index[from + done + r];
          column(key, start + row * ldk, panel, column + r);
        }
      }
      done += rows;
    }
  }

  /// Puts one key row into one column of a panel; the slow way, for positions inside a panel.
  private void column(float[] key, int source, int panel, int column) {
    int target = panel * WIDTH * dim + column;
    boolean finite = true;
    for (int c = 0; c < dim; c++) {
      float value = key[source + c];
      data[target + c * WIDTH] = value;
      finite &= Float.isFinite(value);
    }
    if (!finite) {
      notFinite[panel] = 1;
    }
  }

  /// Whether some of `count` panels hold NaN or infinities.
  boolean anyNotFinite(int panel, int count) {
    int found = 0;
    for (int p = panel; p < panel + count; p++) {
      found |= notFinite[p];
    }
    return found != 0;
  }

  private static long panels(int maxKeys) {
    return (maxKeys + WIDTH - 1L) / WIDTH;
  }
}
