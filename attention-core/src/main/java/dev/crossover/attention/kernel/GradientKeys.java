// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Keys and values of one key/value head, packed for [GradientTile], and the sums of their
/// gradients.
///
/// ```
/// keys.begin()
/// keys.add(rows)              any number of times: gives the next positions to rows of the source
/// keys.load(k, v)             packs them, sums are zero
/// tile.attend(keys, …)        any number of times
/// keys.store(∂k, ∂v)          adds the sums to the rows they belong to
/// ```
///
/// Rows may be added twice: a window and a column of a strided pattern, for example, in which they
/// are neighbours of other rows. Rows of an unwanted kind get a position and no place: intervals of
/// positions reach over them, nothing is computed for them and their gradients stay as they are.
/// One instance belongs to one worker.
public final class GradientKeys {
  final int dim;
  final int valueDim;
  final int keyStride;
  final int valueStride;
  final KeyPanels keyPanels;
  final KeyPanels valuePanels;
  /// Key rows, zero where one is not finite.
  final float[] keyRows;
  final float[] gradKey;
  final float[] gradValue;
  private final int[] source;
  private final int[] place;
  private final Kernels kernels = Kernels.get();
  private int positions;
  private int packed;

  /// @param scratch allocator
  /// @param maxKeys largest number of positions
  /// @param dim width of key rows
  /// @param valueDim width of value rows
  public GradientKeys(Scratch scratch, int maxKeys, int dim, int valueDim) {
    this.dim = dim;
    this.valueDim = valueDim;
    keyStride = stride(dim);
    valueStride = stride(valueDim);
    keyPanels = new KeyPanels(scratch, maxKeys, dim);
    valuePanels = new KeyPanels(scratch, maxKeys, valueDim);
    keyRows = scratch.floats((long) maxKeys * dim + GradientRows.SLACK);
    gradKey = scratch.floats((maxKeys + (long) GradientRows.GROUP) * keyStride);
    gradValue = scratch.floats((maxKeys + (long) GradientRows.GROUP) * valueStride);
    source = scratch.ints(maxKeys);
    place = scratch.ints(maxKeys + 1L);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxKeys, int dim, int valueDim) {
    long rows = maxKeys + (long) GradientRows.GROUP;
    long words =
        (long) maxKeys * dim
            + GradientRows.SLACK
            + rows * (stride(dim) + stride(valueDim))
            + 2L * maxKeys
            + 1;
    return KeyPanels.bytes(maxKeys, dim) + KeyPanels.bytes(maxKeys, valueDim) + words * Float.BYTES;
  }

  static int stride(int width) {
    return KernelSelection.VECTOR ? Lanes.roundUp(width, Lanes.L) : width;
  }

  /// Forgets every position.
  public void begin() {
    positions = 0;
    packed = 0;
    place[0] = 0;
  }

  /// Number of positions given so far: that of the next row added.
  public int positions() {
    return positions;
  }

  /// Gives positions to `count` rows that are `step` apart.
  public void add(int first, int step, int count) {
    for (int i = 0; i < count; i++) {
      put(first + i * step, true);
    }
  }

  /// Gives positions to `count` rows that are `step` apart, of which only those of a wanted kind
  /// can be seen.
  ///
  /// @param kind the kind of row j is `kind[offset + j]`
  /// @param wanted the kinds that are seen, as bits
  public void add(int first, int step, int count, int[] kind, int offset, int wanted) {
    for (int i = 0; i < count; i++) {
      int row = first + i * step;
      put(row, (kind[offset + row] & wanted) != 0);
    }
  }

  /// Gives positions to the rows `index[from] … index[from + count - 1]`.
  public void add(int[] index, int from, int count) {
    for (int i = 0; i < count; i++) {
      put(index[from + i], true);
    }
  }

  private void put(int row, boolean seen) {
    if (seen) {
      source[packed++] = row;
    }
    place[++positions] = packed;
  }

  /// The place of a position, or of the first seen one after it.
  int place(int position) {
    return place[position];
  }

  /// Packs the rows that have places and zeroes the sums.
  ///
  /// @param k row j starts at `ko + j * dim`
  /// @param v row j starts at `vo + j * valueDim`
  public void load(float[] k, int ko, float[] v, int vo) {
    for (int j = 0; j < packed; j++) {
      System.arraycopy(k, ko + source[j] * dim, keyRows, j * dim, dim);
      System.arraycopy(v, vo + source[j] * valueDim, gradValue, j * valueStride, valueDim);
    }
    keyPanels.pack(keyRows, 0, dim, packed, 0);
    valuePanels.pack(gradValue, 0, valueStride, packed, 0);
    GradientRows.clear(keyRows, dim, packed);
    Arrays.fill(gradKey, 0, (packed + GradientRows.GROUP) * keyStride, 0);
    Arrays.fill(gradValue, 0, (packed + GradientRows.GROUP) * valueStride, 0);
  }

  /// Adds the sums to the gradients of the rows they belong to.
  ///
  /// @param scale factor on the dot products
  /// @param gk row j starts at `gko + j * dim`; null where it is not wanted
  /// @param gv row j starts at `gvo + j * valueDim`; null where it is not wanted
  public void store(float scale, float @Nullable [] gk, int gko, float @Nullable [] gv, int gvo) {
    for (int j = 0; j < packed; j++) {
      int row = source[j];
      if (gk != null) {
        kernels.axpy(dim, scale, gradKey, j * keyStride, gk, gko + row * dim);
      }
      if (gv != null) {
        int to = gvo + row * valueDim;
        kernels.add(valueDim, gv, to, gradValue, j * valueStride, gv, to);
      }
    }
  }
}
