// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.random.Draws;
import org.junit.jupiter.api.Test;

class DoubleProductsTest {

  /// Sizes below, at and beyond blocks of 4 rows and 2 vectors; a sum of n products is off by n
  /// ulps.
  @Test
  void squareProductsAgreeWithTheDefinition() {
    for (int n : new int[] {0, 1, 3, 4, 5, 16, 17, 31, 32, 50, 64, 67}) {
      double[] a = doubles(n * n + 3, 1);
      double[] b = doubles(n * n + 5, 2);
      double[] c = doubles(n * n + 7, 3);
      DoubleProducts.multiply(n, a, 3, b, 5, c, 7);
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
          double sum = 0;
          for (int k = 0; k < n; k++) {
            sum += a[3 + i * n + k] * b[5 + k * n + j];
          }
          assertEquals(sum, c[7 + i * n + j], 1e-13 * n, "n = " + n);
        }
      }
      assertEquals(doubles(n * n + 7, 3)[6], c[6], "nothing before the offset is touched");
    }
  }

  @Test
  void softplus2AgreesWithItsFormula() {
    float[] x = new float[4001];
    float[] y = new float[x.length + 1];
    for (int i = 0; i < x.length; i++) {
      x[i] = (i - 2000) / 20f;
    }
    Kernels.get().softplus2(x.length, x, 0, y, 1);
    for (int i = 0; i < x.length; i++) {
      double expected = Math.log1p(Math.pow(2, x[i])) / Math.log(2);
      assertEquals(1, y[i + 1] / expected, 1e-7 * Math.max(10, -x[i]), "x = " + x[i]);
    }
    assertEquals(0, y[0]);
    float[] extremes = {Float.NEGATIVE_INFINITY, Float.POSITIVE_INFINITY, Float.NaN, 1e30f};
    Kernels.get().softplus2(extremes.length, extremes, 0, y, 0);
    assertEquals(0, y[0]);
    assertEquals(Float.POSITIVE_INFINITY, y[1]);
    assertEquals(Float.NaN, y[2]);
    assertEquals(1e30f, y[3]);
  }

  private static double[] doubles(int n, long seed) {
    float[] drawn = Draws.gaussian(seed, n).data();
    double[] values = new double[n];
    for (int i = 0; i < n; i++) {
      values[i] = drawn[i];
    }
    return values;
  }
}
