package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;

/// Key rows arranged for [SoftmaxTile]: packed once, read by many blocks of queries.
///
/// Positions inside the panels are 0-based in the order of packing; gathering any subset of keys is
/// therefore a matter of packing it.
public final class KeyPanels {
  final int dim;
  final float[] data;

  /// @param scratch allocator
  /// @param maxKeys largest number of keys
  /// @param dim width of a key row
  public KeyPanels(Scratch scratch, int maxKeys, int dim) {
    this.dim = dim;
    this.data = scratch.floats((long) maxKeys * dim);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxKeys, int dim) {
    return (long) maxKeys * dim * Float.BYTES;
  }

  /// Packs `count` key rows into positions `at`, `at + 1`, …; calls for disjoint ranges of positions may
  /// run concurrently if each `at` is a multiple of [#alignment()].
  ///
  /// @param key source, row r starts at `ko + r * ldk`
  public void pack(float[] key, int ko, int ldk, int count, int at) {
    for (int r = 0; r < count; r++) {
      System.arraycopy(key, ko + r * ldk, data, (at + r) * dim, dim);
    }
  }

  /// Packs the rows `index[from] … index[from + count - 1]` of a key block into positions `at`, ….
  ///
  /// @param key source, row r starts at `ko + r * ldk`
  public void gather(float[] key, int ko, int ldk, int[] index, int from, int count, int at) {
    for (int r = 0; r < count; r++) {
      System.arraycopy(key, ko + index[from + r] * ldk, data, (at + r) * dim, dim);
    }
  }

  /// Positions at which concurrent packing may start: multiples of this.
  public static int alignment() {
    return 1;
  }
}
