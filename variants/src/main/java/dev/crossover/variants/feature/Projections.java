// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

/// Random projections arranged for products: transposed, with rows of an odd number of cache lines,
/// because rows a power of two apart fall into the same few sets of a cache and push each other
/// out.
final class Projections {
  private static final int LINE = 16;

  private Projections() {}

  /// Distance between the starts of two rows of the transposed projection.
  ///
  /// @param m number of features
  static int stride(int m) {
    int lines = Math.ceilDiv(m, LINE);
    return (lines % 2 == 0 ? lines + 1 : lines) * LINE;
  }

  /// Floats of a transposed projection.
  static long size(int m, int d) {
    return (long) stride(m) * d;
  }

  /// `target[c, a] = scale · omega[a, c]`.
  ///
  /// @param omega `[m, d]` from `from`
  /// @param target `[d, stride(m)]` from `to`
  static void transpose(
      int m, int d, double scale, float[] omega, int from, float[] target, int to) {
    int stride = stride(m);
    for (int a = 0; a < m; a++) {
      for (int c = 0; c < d; c++) {
        target[to + c * stride + a] = (float) (scale * omega[from + a * d + c]);
      }
    }
  }
}
