// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.kernel.NarrowRows;
import dev.crossover.attention.kernel.Widening;
import java.util.Arrays;

/// Rows of 16-bit numbers: IEEE half or bfloat16, rounded to nearest even.
final class ShortRows extends RowStore {
  private final boolean half;
  private short[] data;

  ShortRows(boolean half, int dim, int capacity) {
    super(dim);
    this.half = half;
    data = new short[capacity * dim];
  }

  @Override
  void read(int from, int to, float[] into, int at) {
    if (half) {
      Widening.half((to - from) * dim, data, from * dim, into, at);
    } else {
      Widening.brain((to - from) * dim, data, from * dim, into, at);
    }
  }

  /// Halves are restored: see [NarrowRows].
  @Override
  boolean dotsInRegisters(
      float[] q, int qo, int from, int to, float[] scores, int so, RowTile tile) {
    boolean fused = !half && NarrowRows.isFused();
    if (fused) {
      NarrowRows.brainDots(to - from, dim, q, qo, data, from * dim, scores, so);
    }
    return fused;
  }

  @Override
  boolean mixInRegisters(float[] w, int wo, int from, int to, int width, float[] out, int oo) {
    boolean fused = !half && NarrowRows.isFused();
    if (fused) {
      NarrowRows.brainMix(to - from, dim, width, w, wo, data, from * dim, out, oo);
    }
    return fused;
  }

  @Override
  int code(int row, int channel) {
    return Short.toUnsignedInt(data[row * dim + channel]);
  }

  @Override
  long bytes() {
    return (long) count() * dim * Short.BYTES;
  }

  @Override
  RowStore copy() {
    ShortRows copy = new ShortRows(half, dim, 0);
    copy.data = data.clone();
    return counted(copy);
  }

  @Override
  void reserve(int rows) {
    if (data.length < rows * dim) {
      data = Arrays.copyOf(data, grown(data.length, rows * dim));
    }
  }

  @Override
  void write(int row, float[] values, int at) {
    for (int c = 0; c < dim; c++) {
      float value = values[at + c];
      data[row * dim + c] = half ? Float.floatToFloat16(value) : brain(value);
    }
  }

  /// The upper 16 bits after rounding to nearest even; NaN stays NaN.
  private static short brain(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) (bits >>> 16 | 0x40);
    }
    return (short) (bits + 0x7fff + (bits >>> 16 & 1) >>> 16);
  }

  @Override
  void move(int from, int to) {
    System.arraycopy(data, from * dim, data, to * dim, dim);
  }
}
