// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.crossover.attention.testing.Tolerance;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Matrix products of the selected kernels and of their scalar twin against double precision.
class ProductsTest {
  private static final int GUARD = 3;
  private static final float UNTOUCHED = 12345.5f;

  private enum Form {
    PLAIN,
    TRANSPOSED_A,
    TRANSPOSED_B,
    LOWER
  }

  static Stream<Kernels> kernels() {
    return Stream.of(Kernels.get(), new ScalarKernels());
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void everyFormAgreesWithDoublesAtEverySmallSize(Kernels kernels) {
    int lanes = Math.max(kernels.lanes(), 2);
    int[] rows = {0, 1, 2, 3, 4, 5, 13};
    int[] depths = {0, 1, 2, 7, 16, 17};
    for (int m : rows) {
      for (int n = 0; n <= 4 * lanes + 1; n += n < 3 || n % lanes >= lanes - 2 ? 1 : lanes / 2) {
        for (int k : depths) {
          for (Form form : Form.values()) {
            check(kernels, form, m, n, k, 0, false);
            check(kernels, form, m, n, k, 2, true);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void depthsBeyondOneStretchAgreeWithDoubles(Kernels kernels) {
    for (Form form : Form.values()) {
      for (int k : new int[] {127, 128, 129, 700, 1031}) {
        check(kernels, form, 9, 70, k, 1, false);
        check(kernels, form, 9, 70, k, 1, true);
        check(kernels, form, 3, 1, k, 0, true);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void aRowBelowTheDiagonalNeverMeetsNanAboveIt(Kernels kernels) {
    int n = 37;
    float[] a = new float[n * n];
    float[] b = new float[n * n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        a[i * n + j] = j <= i ? 1 : Float.NaN;
        b[i * n + j] = i < 20 ? 1 : Float.NaN;
      }
    }
    float[] c = new float[n * n];
    kernels.multiplyLower(n, n, n, 0, a, 0, n, b, 0, n, c, 0, n, false);
    for (int i = 0; i < 20; i++) {
      for (int j = 0; j < n; j++) {
        assertEquals(i + 1, c[i * n + j]);
      }
    }
    assertEquals(Float.NaN, c[20 * n]);
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void lowerTriangleOfStackedProductsIsThatOfEachWhole(Kernels kernels) {
    int[][] sizes = {{1, 1, 3}, {5, 5, 17}, {16, 16, 8}, {64, 64, 64}, {37, 37, 20}, {150, 150, 9}};
    for (int[] size : sizes) {
      int m = size[0];
      int k = size[2];
      Random random = new Random(m);
      float[] a = matrix(random, 2 * m, k);
      float[] b = matrix(random, m, k);
      float[] lower = new float[2 * m * m + 64];
      float[] work = new float[kernels.transposedBScratch(m, k) + 64];
      kernels.multiplyTransposedBLower(2, m, m, k, a, GUARD, k, b, GUARD, k, lower, 0, m, work, 0);
      for (int i = 0; i < 2 * m; i++) {
        for (int j = 0; j <= i % m; j++) {
          double expected = 0;
          double magnitude = 0;
          for (int l = 0; l < k; l++) {
            double term = (double) a[GUARD + i * k + l] * b[GUARD + j * k + l];
            expected += term;
            magnitude += Math.abs(term);
          }
          // k + 1 roundings of at most 2^-24 of the terms' magnitude
          assertEquals(expected, lower[i * m + j], (k + 1) * magnitude * 6e-8 + 1e-30);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void substitutionSolvesTheTriangularSystem(Kernels kernels) {
    for (int m : new int[] {1, 3, 4, 17, 64}) {
      for (int n : new int[] {1, 5, 16, 20, 64, 70}) {
        Random random = new Random(31L * m + n);
        float[] a = new float[m * m];
        for (int i = 0; i < m; i++) {
          for (int j = 0; j < m; j++) {
            a[i * m + j] = j < i ? random.nextFloat(-0.3f, 0.3f) : Float.NaN;
          }
        }
        float[] right = matrix(random, m, n);
        float[] x = right.clone();
        kernels.substituteForward(m, n, a, 0, m, x, GUARD, n);
        for (int i = 0; i < m; i++) {
          for (int c = 0; c < n; c++) {
            double residual = x[GUARD + i * n + c] - (double) right[GUARD + i * n + c];
            double magnitude = Math.abs(x[GUARD + i * n + c]) + Math.abs(right[GUARD + i * n + c]);
            for (int j = 0; j < i; j++) {
              double term = (double) a[i * m + j] * x[GUARD + j * n + c];
              residual -= term;
              magnitude += Math.abs(term);
            }
            // backward stable: i + 1 roundings of at most 2^-24 of the terms' magnitude
            assertEquals(0, residual, (i + 2) * magnitude * 6e-8);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void productWithATransposedTriangleAgreesWithDoubles(Kernels kernels) {
    for (int m : new int[] {0, 1, 2, 3, 4, 5, 8, 17, 64, 150}) {
      for (int n : new int[] {1, 5, 16, 20, 64, 70}) {
        for (boolean accumulate : new boolean[] {false, true}) {
          Random random = new Random(31L * m + n);
          int lda = m + 2;
          float[] a = matrix(random, m, lda);
          for (int i = 0; i < m; i++) {
            java.util.Arrays.fill(a, GUARD + i * lda + i + 1, GUARD + i * lda + m, Float.NaN);
          }
          float[] b = matrix(random, m, n + 1);
          float[] c = matrix(random, m, n + 2);
          float[] before = c.clone();
          kernels.multiplyTransposedLower(
              m, n, a, GUARD, lda, b, GUARD, n + 1, c, GUARD, n + 2, accumulate);
          for (int j = 0; j < m; j++) {
            for (int l = 0; l < n + 2; l++) {
              int at = GUARD + j * (n + 2) + l;
              if (l >= n) {
                assertEquals(before[at], c[at], "wrote beyond its row");
                continue;
              }
              double sum = accumulate ? before[at] : 0;
              double magnitude = Math.abs(sum);
              for (int i = j; i < m; i++) {
                double term = (double) a[GUARD + i * lda + j] * b[GUARD + i * (n + 1) + l];
                sum += term;
                magnitude += Math.abs(term);
              }
              assertWithin(sum, c[at], Tolerance.ofSum(m - j + 1, magnitude), m + "x" + n);
            }
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void aRowOfATransposedTriangleNeverMeetsNanOfEarlierRows(Kernels kernels) {
    int n = 37;
    float[] a = new float[n * n];
    float[] b = new float[n * n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        a[i * n + j] = j <= i ? 1 : Float.NaN;
        b[i * n + j] = i < 20 ? Float.NaN : 1;
      }
    }
    float[] c = new float[n * n];
    kernels.multiplyTransposedLower(n, n, a, 0, n, b, 0, n, c, 0, n, false);
    for (int i = 20; i < n; i++) {
      for (int j = 0; j < n; j++) {
        assertEquals(n - i, c[i * n + j]);
      }
    }
    assertEquals(Float.NaN, c[19 * n]);
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void substitutionSolvesTheTransposedTriangularSystem(Kernels kernels) {
    for (int m : new int[] {0, 1, 3, 4, 6, 17, 64}) {
      for (int n : new int[] {1, 5, 16, 20, 64, 70}) {
        Random random = new Random(31L * m + n);
        float[] a = new float[m * m];
        for (int i = 0; i < m; i++) {
          for (int j = 0; j < m; j++) {
            a[i * m + j] = j < i ? random.nextFloat(-0.3f, 0.3f) : Float.NaN;
          }
        }
        float[] right = matrix(random, m, n);
        float[] x = right.clone();
        kernels.substituteBackward(m, n, a, 0, m, x, GUARD, n);
        for (int j = 0; j < m; j++) {
          for (int c = 0; c < n; c++) {
            double residual = x[GUARD + j * n + c] - (double) right[GUARD + j * n + c];
            double magnitude = Math.abs(x[GUARD + j * n + c]) + Math.abs(right[GUARD + j * n + c]);
            for (int i = j + 1; i < m; i++) {
              double term = (double) a[i * m + j] * x[GUARD + i * n + c];
              residual -= term;
              magnitude += Math.abs(term);
            }
            // backward stable: m - j roundings of at most 2^-24 of the terms' magnitude
            assertEquals(0, residual, (m - j + 2) * magnitude * 6e-8);
          }
        }
      }
    }
  }

  @Test
  void outputIsOverwrittenWithoutBeingReadUnlessAccumulating() {
    float[] ones = new float[64 * 64];
    java.util.Arrays.fill(ones, 1);
    float[] c = new float[64 * 64];
    java.util.Arrays.fill(c, Float.NaN);
    Kernels.get().multiply(64, 64, 64, ones, 0, 64, ones, 0, 64, c, 0, 64, false);
    for (float value : c) {
      assertFalse(Float.isNaN(value));
    }
  }

  private static void check(
      Kernels kernels, Form form, int m, int n, int k, int offset, boolean accumulate) {
    Random random = new Random(31L * m + 7L * n + k);
    int lda = (form == Form.TRANSPOSED_A ? m : k) + 3;
    int ldb = (form == Form.TRANSPOSED_B ? k : n) + (n == 1 ? 0 : 1);
    int ldc = n + 2;
    float[] a = matrix(random, form == Form.TRANSPOSED_A ? k : m, lda);
    float[] b = matrix(random, form == Form.TRANSPOSED_B ? n : k, ldb);
    float[] c = matrix(random, m, ldc);
    for (int i = 0; i < m; i++) {
      c[GUARD + i * ldc + n] = UNTOUCHED;
    }
    float[] before = c.clone();
    switch (form) {
      case PLAIN ->
          kernels.multiply(m, n, k, a, GUARD, lda, b, GUARD, ldb, c, GUARD, ldc, accumulate);
      case TRANSPOSED_A ->
          kernels.multiplyTransposedA(
              m, n, k, a, GUARD, lda, b, GUARD, ldb, c, GUARD, ldc, accumulate);
      case TRANSPOSED_B -> {
        float[] work = new float[kernels.transposedBScratch(n, k) + GUARD];
        kernels.multiplyTransposedB(
            m, n, k, a, GUARD, lda, b, GUARD, ldb, c, GUARD, ldc, accumulate, work, GUARD);
      }
      case LOWER ->
          kernels.multiplyLower(
              m, n, k, offset, a, GUARD, lda, b, GUARD, ldb, c, GUARD, ldc, accumulate);
    }
    String what = kernels.description() + " " + form + " " + m + "x" + n + "x" + k;
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        double sum = accumulate ? before[GUARD + i * ldc + j] : 0;
        double magnitude = Math.abs(sum);
        for (int l = 0; l < (form == Form.LOWER ? Math.min(k, i + offset + 1) : k); l++) {
          double x = a[GUARD + (form == Form.TRANSPOSED_A ? l * lda + i : i * lda + l)];
          double y = b[GUARD + (form == Form.TRANSPOSED_B ? j * ldb + l : l * ldb + j)];
          sum += x * y;
          magnitude += Math.abs(x * y);
        }
        assertWithin(sum, c[GUARD + i * ldc + j], Tolerance.ofSum(k + 1, magnitude), what);
      }
      assertEquals(UNTOUCHED, c[GUARD + i * ldc + n], what + " wrote beyond its row");
    }
  }

  private static float[] matrix(Random random, int rows, int ld) {
    float[] x = new float[rows * ld + 2 * GUARD];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) random.nextGaussian();
    }
    return x;
  }
}
