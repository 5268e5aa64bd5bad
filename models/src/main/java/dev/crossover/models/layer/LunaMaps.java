// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;

/// The linear maps of [LunaLayer], y = x wᵀ + b, with the weights transposed once per
/// pass so that a head's columns are one contiguous part of every row.
///
/// Transposed rows are a few floats longer than the model is wide: rows a power of two apart would
/// meet in few cache sets, which costs the products a third of their speed.
final class LunaMaps {
  private static final int TILE = 16;
  private static final int ROW_GAP = 16;

  private final Kernels kernels = Kernels.get();
  private final String[] names;
  private final String[] weightNames;
  private final String[] biasNames;
  private final int width;
  private final int pitch;
  private final float[][] transposed;
  private final float[][] bias;

  /// @param scratch allocator
  /// @param luna the mechanism, for the names of its maps
  /// @param width model width D
  LunaMaps(Scratch scratch, LunaLayer luna, int width) {
    names = luna.maps().toArray(String[]::new);
    weightNames = new String[names.length];
    biasNames = new String[names.length];
    this.width = width;
    pitch = width + ROW_GAP;
    transposed = new float[names.length][];
    bias = new float[names.length][];
    for (int i = 0; i < names.length; i++) {
      weightNames[i] = names[i] + "_weight";
      biasNames[i] = names[i] + "_bias";
      transposed[i] = scratch.floats((long) width * pitch);
    }
  }

  /// Bytes the constructor allocates.
  static long bytes(LunaLayer luna, int width) {
    return (long) luna.maps().size() * width * (width + ROW_GAP) * Float.BYTES;
  }

  /// Number of maps.
  int count() {
    return names.length;
  }

  /// Number of a map.
  int index(String map) {
    int index = 0;
    while (!names[index].equals(map)) {
      index++;
    }
    return index;
  }

  /// Name of a map's weight among the inputs.
  String weightName(int map) {
    return weightNames[map];
  }

  /// Name of a map's bias among the inputs.
  String biasName(int map) {
    return biasNames[map];
  }

  /// Takes a map's weight and bias for this pass.
  void take(int map, float[] weight, float[] newBias) {
    for (int o = 0; o < width; o += TILE) {
      for (int i = 0; i < width; i += TILE) {
        transposeTile(weight, transposed[map], o, i);
      }
    }
    bias[map] = newBias;
  }

  private void transposeTile(float[] from, float[] to, int firstOut, int firstIn) {
    int lastOut = Math.min(firstOut + TILE, width);
    int lastIn = Math.min(firstIn + TILE, width);
    for (int i = firstIn; i < lastIn; i++) {
      for (int o = firstOut; o < lastOut; o++) {
        to[i * pitch + o] = from[o * width + i];
      }
    }
  }

  /// Columns `from … from + columns - 1` of the map of some rows.
  ///
  /// @param x row r starts at `xo + r * width`
  /// @param y row r is written at `yo + r * ldy`
  void apply(
      String map, int rows, float[] x, int xo, int from, int columns, float[] y, int yo, int ldy) {
    int index = index(map);
    for (int r = 0; r < rows; r++) {
      System.arraycopy(bias[index], from, y, yo + r * ldy, columns);
    }
    kernels.multiply(
        rows, columns, width, x, xo, width, transposed[index], from, pitch, y, yo, ldy, true);
  }
}
