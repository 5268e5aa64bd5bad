// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// The scalar twin of [VectorPackedRows].
final class ScalarPackedRows {
  private ScalarPackedRows() {}

  /// Number `c` of the row from `bo` on.
  static int code(byte[] b, int bo, int stride, int bits, int c) {
    return b[bo + c % stride] >>> c / stride * bits & (1 << bits) - 1;
  }

  /// Columns `from … to - 1`.
  static void restoreColumns(
      int from,
      int to,
      int dim,
      int bits,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int stride = PackedRows.stride(dim, bits);
    for (int c = from; c < to; c++) {
      float scaled = code(b, bo, stride, bits, c) * scale[go + c];
      y[yo + c] = scaled + minimum[go + c];
    }
  }

  /// Columns `from … to - 1`.
  static void restoreGroups(
      int from,
      int to,
      int dim,
      int bits,
      int group,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int stride = PackedRows.stride(dim, bits);
    for (int c = from; c < to; c++) {
      float scaled = code(b, bo, stride, bits, c) * scale[go + c / group];
      y[yo + c] = scaled + minimum[go + c / group];
    }
  }

  static void dots(
      int n,
      int dim,
      int bits,
      float[] x,
      int xo,
      float shift,
      byte[] b,
      int bo,
      float[] y,
      int yo) {
    int stride = PackedRows.stride(dim, bits);
    for (int j = 0; j < n; j++) {
      float sum = 0;
      for (int c = 0; c < dim; c++) {
        sum += x[xo + c] * code(b, bo + j * stride, stride, bits, c);
      }
      y[yo + j] = sum + shift;
    }
  }

  static void mix(
      int n,
      int dim,
      int bits,
      int group,
      float[] w,
      int wo,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    int stride = PackedRows.stride(dim, bits);
    for (int first = 0; first < dim; first += group) {
      float shift = 0;
      for (int j = 0; j < n; j++) {
        int g = go + (j * dim + first) / group;
        float weight = w[wo + j] * scale[g];
        shift += w[wo + j] * minimum[g];
        for (int c = first; c < first + group; c++) {
          y[yo + c] += weight * code(b, bo + j * stride, stride, bits, c);
        }
      }
      for (int c = first; c < first + group; c++) {
        y[yo + c] += shift;
      }
    }
  }
}
