// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import jdk.incubator.vector.DoubleVector;
import jdk.incubator.vector.VectorSpecies;

/// Blocks of 4 rows and 2 vectors of a product in double precision, kept in registers over the
/// whole of k.
final class DoubleBlocks {
  private static final VectorSpecies<Double> DOUBLES =
      VectorSpecies.of(double.class, Lanes.FLOATS.vectorShape());
  private static final int L = DOUBLES.length();
  private static final int ROWS = 4;

  private DoubleBlocks() {}

  /// The leading columns of `C = A · B`, all `[n,n]`, that whole pairs of vectors cover.
  ///
  /// @return number of columns written
  static int multiply(int n, double[] a, int ao, double[] b, int bo, double[] c, int co) {
    int columns = n / (2 * L) * (2 * L);
    for (int j = 0; j < columns; j += 2 * L) {
      int i = 0;
      for (; i + ROWS <= n; i += ROWS) {
        block4(n, a, ao + i * n, b, bo + j, c, co + i * n + j);
      }
      for (; i < n; i++) {
        block1(n, a, ao + i * n, b, bo + j, c, co + i * n + j);
      }
    }
    return columns;
  }

  private static void block4(int n, double[] a, int ao, double[] b, int bo, double[] c, int co) {
    DoubleVector c00 = DoubleVector.zero(DOUBLES);
    DoubleVector c01 = c00;
    DoubleVector c10 = c00;
    DoubleVector c11 = c00;
    DoubleVector c20 = c00;
    DoubleVector c21 = c00;
    DoubleVector c30 = c00;
    DoubleVector c31 = c00;
    for (int k = 0; k < n; k++) {
      DoubleVector b0 = DoubleVector.fromArray(DOUBLES, b, bo + k * n);
      DoubleVector b1 = DoubleVector.fromArray(DOUBLES, b, bo + k * n + L);
      DoubleVector x = DoubleVector.broadcast(DOUBLES, a[ao + k]);
      c00 = x.fma(b0, c00);
      c01 = x.fma(b1, c01);
      x = DoubleVector.broadcast(DOUBLES, a[ao + n + k]);
      c10 = x.fma(b0, c10);
      c11 = x.fma(b1, c11);
      x = DoubleVector.broadcast(DOUBLES, a[ao + 2 * n + k]);
      c20 = x.fma(b0, c20);
      c21 = x.fma(b1, c21);
      x = DoubleVector.broadcast(DOUBLES, a[ao + 3 * n + k]);
      c30 = x.fma(b0, c30);
      c31 = x.fma(b1, c31);
    }
    c00.intoArray(c, co);
    c01.intoArray(c, co + L);
    c10.intoArray(c, co + n);
    c11.intoArray(c, co + n + L);
    c20.intoArray(c, co + 2 * n);
    c21.intoArray(c, co + 2 * n + L);
    c30.intoArray(c, co + 3 * n);
    c31.intoArray(c, co + 3 * n + L);
  }

  private static void block1(int n, double[] a, int ao, double[] b, int bo, double[] c, int co) {
    DoubleVector c0 = DoubleVector.zero(DOUBLES);
    DoubleVector c1 = c0;
    for (int k = 0; k < n; k++) {
      DoubleVector x = DoubleVector.broadcast(DOUBLES, a[ao + k]);
      c0 = x.fma(DoubleVector.fromArray(DOUBLES, b, bo + k * n), c0);
      c1 = x.fma(DoubleVector.fromArray(DOUBLES, b, bo + k * n + L), c1);
    }
    c0.intoArray(c, co);
    c1.intoArray(c, co + L);
  }
}
