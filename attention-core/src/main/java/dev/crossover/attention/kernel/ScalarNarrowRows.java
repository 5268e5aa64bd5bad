// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// The scalar twin of the generated products of [NarrowRows].
final class ScalarNarrowRows {
  private ScalarNarrowRows() {}

  static void byteDots(
      int n,
      int dim,
      float[] x,
      int xo,
      byte[] b,
      int bo,
      float[] scale,
      int so,
      float[] y,
      int yo) {
    for (int j = 0; j < n; j++) {
      y[yo + j] = scale[so + j] * byteDot(0, dim, x, xo, b, bo + j * dim);
    }
  }

  static void brainDots(int n, int dim, float[] x, int xo, short[] b, int bo, float[] y, int yo) {
    for (int j = 0; j < n; j++) {
      y[yo + j] = brainDot(0, dim, x, xo, b, bo + j * dim);
    }
  }

  /// The products of the columns `from … dim - 1` of one row, added up.
  static float byteDot(int from, int dim, float[] x, int xo, byte[] b, int row) {
    float sum = 0;
    for (int c = from; c < dim; c++) {
      sum += x[xo + c] * b[row + c];
    }
    return sum;
  }

  static float brainDot(int from, int dim, float[] x, int xo, short[] b, int row) {
    float sum = 0;
    for (int c = from; c < dim; c++) {
      sum += x[xo + c] * Float.intBitsToFloat(b[row + c] << 16);
    }
    return sum;
  }

  /// Columns `from … width - 1`.
  static void byteMix(
      int n,
      int dim,
      int from,
      int width,
      float[] w,
      int wo,
      byte[] b,
      int bo,
      float[] scale,
      int so,
      float[] y,
      int yo) {
    for (int j = 0; j < n; j++) {
      float weight = w[wo + j] * scale[so + j];
      for (int c = from; c < width; c++) {
        y[yo + c] += weight * b[bo + j * dim + c];
      }
    }
  }

  static void brainMix(
      int n,
      int dim,
      int from,
      int width,
      float[] w,
      int wo,
      short[] b,
      int bo,
      float[] y,
      int yo) {
    for (int j = 0; j < n; j++) {
      for (int c = from; c < width; c++) {
        y[yo + c] += w[wo + j] * Float.intBitsToFloat(b[bo + j * dim + c] << 16);
      }
    }
  }
}
