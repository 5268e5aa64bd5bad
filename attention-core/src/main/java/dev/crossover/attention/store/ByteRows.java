// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.kernel.NarrowRows;
import dev.crossover.attention.kernel.Widening;
import java.util.Arrays;

/// Rows of signed bytes with one scale each: s = max│x│ / 127, code = rint(x / s), in float32
/// arithmetic. A row of zeros has scale 0 and codes 0.
final class ByteRows extends RowStore {
  private byte[] codes;
  private float[] scales;

  ByteRows(int dim, int capacity) {
    super(dim);
    codes = new byte[capacity * dim];
    scales = new float[capacity];
  }

  @Override
  void read(int from, int to, float[] into, int at) {
    for (int row = from; row < to; row++) {
      Widening.bytes(dim, codes, row * dim, scales[row], into, at + (row - from) * dim);
    }
  }

  @Override
  boolean dotsInRegisters(
      float[] q, int qo, int from, int to, float[] scores, int so, RowTile tile) {
    boolean fused = NarrowRows.isFused();
    if (fused) {
      NarrowRows.byteDots(to - from, dim, q, qo, codes, from * dim, scales, from, scores, so);
    }
    return fused;
  }

  @Override
  boolean mixInRegisters(float[] w, int wo, int from, int to, int width, float[] out, int oo) {
    boolean fused = NarrowRows.isFused();
    if (fused) {
      NarrowRows.byteMix(to - from, dim, width, w, wo, codes, from * dim, scales, from, out, oo);
    }
    return fused;
  }

  @Override
  int code(int row, int channel) {
    return codes[row * dim + channel];
  }

  @Override
  long bytes() {
    return (long) count() * (dim + Float.BYTES);
  }

  @Override
  RowStore copy() {
    ByteRows copy = new ByteRows(dim, 0);
    copy.codes = codes.clone();
    copy.scales = scales.clone();
    return counted(copy);
  }

  @Override
  void reserve(int rows) {
    if (scales.length < rows) {
      int more = grown(scales.length, rows);
      scales = Arrays.copyOf(scales, more);
      codes = Arrays.copyOf(codes, more * dim);
    }
  }

  @Override
  void write(int row, float[] values, int at) {
    float largest = 0;
    for (int c = 0; c < dim; c++) {
      largest = Math.max(largest, Math.abs(values[at + c]));
    }
    float scale = largest / 127;
    scales[row] = scale;
    for (int c = 0; c < dim; c++) {
      codes[row * dim + c] = scale == 0 ? 0 : (byte) Math.rint(values[at + c] / scale);
    }
  }

  @Override
  void move(int from, int to) {
    System.arraycopy(codes, from * dim, codes, to * dim, dim);
    scales[to] = scales[from];
  }
}
