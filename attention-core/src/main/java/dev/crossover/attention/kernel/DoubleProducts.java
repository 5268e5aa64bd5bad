// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import java.util.Arrays;

/// Products of small square matrices in double precision, for chains that float32 does not carry.
public final class DoubleProducts {
  private DoubleProducts() {}

  /// `C = A · B`, all `[n,n]` row-major from their offsets; C overlaps neither.
  public static void multiply(int n, double[] a, int ao, double[] b, int bo, double[] c, int co) {
    int columns = 0;
    if (KernelSelection.VECTOR) {
      columns = DoubleBlocks.multiply(n, a, ao, b, bo, c, co);
    }
    for (int i = 0; i < n; i++) {
      row(n, columns, a, ao + i * n, b, bo, c, co + i * n);
    }
  }

  /// Columns `from … n - 1` of one row of C.
  private static void row(
      int n, int from, double[] a, int ao, double[] b, int bo, double[] c, int co) {
    Arrays.fill(c, co + from, co + n, 0);
    for (int k = 0; k < n && from < n; k++) {
      double factor = a[ao + k];
      for (int j = from; j < n; j++) {
        c[co + j] = Math.fma(factor, b[bo + k * n + j], c[co + j]);
      }
    }
  }
}
