// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import java.util.Arrays;

/// Rows of floats.
final class FloatRows extends RowStore {
  private float[] data;

  FloatRows(int dim, int capacity) {
    super(dim);
    data = new float[capacity * dim];
  }

  @Override
  void read(int from, int to, float[] into, int at) {
    System.arraycopy(data, from * dim, into, at, (to - from) * dim);
  }

  @Override
  float[] inPlace() {
    return data;
  }

  @Override
  int code(int row, int channel) {
    return -1;
  }

  @Override
  long bytes() {
    return (long) count() * dim * Float.BYTES;
  }

  @Override
  RowStore copy() {
    FloatRows copy = new FloatRows(dim, 0);
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
    System.arraycopy(values, at, data, row * dim, dim);
  }

  @Override
  void move(int from, int to) {
    System.arraycopy(data, from * dim, data, to * dim, dim);
  }
}
