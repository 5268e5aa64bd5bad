// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.testing.Tolerance.UNIT;
import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.testing.Tolerance;
import java.util.Arrays;
import java.util.Random;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Passes over several rows at once, of the selected kernels and of their scalar twin.
class RowKernelsTest {
  private static final int ROWS = 5;
  private static final int OFFSET = 3;
  private static final int[] WIDTHS = {0, 1, 5, 16, 33, 48, 64, 70, 128, 256};

  static Stream<Kernels> kernels() {
    return Stream.of(Kernels.get(), new ScalarKernels());
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void dotsOfRowsAreBitForBitThoseOfEachRow(Kernels kernels) {
    for (int n : WIDTHS) {
      int stride = n + 2;
      float[] a = gaussians(OFFSET + ROWS * stride, 1);
      float[] x = gaussians(OFFSET + n + 1, 2);
      float[] y = new float[ROWS + 2];
      kernels.dotRows(ROWS, n, a, OFFSET, stride, x, OFFSET, y, 1);
      for (int r = 0; r < ROWS; r++) {
        assertEquals(kernels.dot(n, a, OFFSET + r * stride, x, OFFSET), y[1 + r]);
      }
      assertEquals(0, y[0] + y[ROWS + 1]);
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void everyRowIsScaledByItsOwnFactorAndNothingElseIsWritten(Kernels kernels) {
    for (int n : WIDTHS) {
      int stride = n + 2;
      float[] factors = gaussians(ROWS + 1, 3);
      float[] x = gaussians(OFFSET + ROWS * n + 1, 4);
      float[] y = new float[OFFSET + ROWS * stride];
      kernels.scaleRows(ROWS, n, factors, 1, x, OFFSET, n, y, OFFSET, stride);
      for (int r = 0; r < ROWS; r++) {
        for (int c = 0; c < stride; c++) {
          float expected = c < n ? factors[1 + r] * x[OFFSET + r * n + c] : 0;
          assertEquals(expected, y[OFFSET + r * stride + c]);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void softmaxOfScaledRowsAgreesWithDoublesInPlaceAndElsewhere(Kernels kernels) {
    for (int n : WIDTHS) {
      for (float scale : new float[] {1, -1, 2, 0.37f}) {
        int stride = n + 2;
        float[] x = gaussians(OFFSET + ROWS * n + 1, 5);
        for (int i = 0; i < x.length; i++) {
          x[i] *= 10;
        }
        float[] y = new float[OFFSET + ROWS * stride];
        kernels.softmaxRows(ROWS, n, scale, x, OFFSET, n, y, OFFSET, stride, new float[7], 1);
        for (int r = 0; r < ROWS; r++) {
          double[] expected = softmax(n, scale, x, OFFSET + r * n);
          for (int c = 0; c < n; c++) {
            // the exponent, up to 80 in magnitude, is rounded twice
            double bound = 2 * Tolerance.EXP + (n + 2 * 80) * UNIT;
            assertWithin(expected[c], y[OFFSET + r * stride + c], bound, "softmax of " + n);
          }
          assertEquals(0, y[OFFSET + r * stride + n] + y[OFFSET + r * stride + n + 1]);
        }
        kernels.softmaxRows(ROWS, n, scale, x, OFFSET, n, x, OFFSET, n, new float[7], 2);
        for (int r = 0; r < ROWS; r++) {
          for (int c = 0; c < n; c++) {
            assertEquals(y[OFFSET + r * stride + c], x[OFFSET + r * n + c]);
          }
        }
      }
    }
  }

  private static double[] softmax(int n, float scale, float[] x, int xo) {
    double[] y = new double[n];
    double max = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < n; c++) {
      max = Math.max(max, (double) scale * x[xo + c]);
    }
    double sum = 0;
    for (int c = 0; c < n; c++) {
      y[c] = Math.exp((double) scale * x[xo + c] - max);
      sum += y[c];
    }
    for (int c = 0; c < n; c++) {
      y[c] /= sum;
    }
    return y;
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void softmaxRowsOfExtremesStayApart(Kernels kernels) {
    float hidden = Float.NEGATIVE_INFINITY;
    for (int n : new int[] {5, 64, 128}) {
      for (float nan : new float[] {Float.NaN, Float.intBitsToFloat(0xffc01235)}) {
        float[] x = new float[4 * n];
        Arrays.fill(x, 0, n, hidden);
        Arrays.fill(x, n, 2 * n, hidden);
        x[n + 3] = -5000;
        x[2 * n + 4] = nan;
        Arrays.fill(x, 3 * n, 4 * n, hidden);
        x[3 * n + 1] = nan;
        kernels.softmaxRows(4, n, 1, x, 0, n, x, 0, n, new float[4], 0);
        for (int c = 0; c < n; c++) {
          assertEquals(0, x[c]);
          assertEquals(c == 3 ? 1 : 0, x[n + c]);
          assertEquals(Float.NaN, x[2 * n + c]);
          assertEquals(Float.NaN, x[3 * n + c]);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void maximaOfColumnsAreTheLargestOfEachAndOfWhatWasThere(Kernels kernels) {
    for (int n : WIDTHS) {
      for (int rows : new int[] {0, 1, 4, ROWS}) {
        float[] x = gaussians(OFFSET + rows * (n + 2), 10);
        float[] y = gaussians(n + 2, 11);
        float[] before = y.clone();
        kernels.maximaOfColumns(rows, n, x, OFFSET, n + 2, y, 1);
        for (int c = 0; c < n + 2; c++) {
          float expected = before[c];
          for (int r = 0; r < rows && c >= 1 && c <= n; r++) {
            expected = Math.max(expected, x[OFFSET + r * (n + 2) + c - 1]);
          }
          assertEquals(expected, y[c]);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void exponentialsOfColumnsAgreeWithDoublesAndAreSummed(Kernels kernels) {
    for (int n : WIDTHS) {
      float[] x = gaussians(OFFSET + ROWS * n, 12);
      float[] minus = gaussians(n + 1, 13);
      float[] y = new float[OFFSET + ROWS * n + 1];
      float[] sums = new float[n + 2];
      Arrays.fill(sums, 1);
      kernels.expOfColumns(ROWS, n, minus, 1, x, OFFSET, y, OFFSET, sums, 1);
      for (int c = 0; c < n; c++) {
        double sum = 1;
        for (int r = 0; r < ROWS; r++) {
          int at = OFFSET + r * n + c;
          double expected = Math.exp((double) x[at] - minus[1 + c]);
          // the exponent, below 16 in magnitude, is rounded once
          assertWithin(expected, y[at], (Tolerance.EXP + 16 * UNIT) * expected, "exp");
          sum += y[at];
        }
        assertWithin(sum, sums[1 + c], Tolerance.ofSum(ROWS + 1, sum), "sum");
      }
      assertEquals(1, sums[0]);
      assertEquals(1, sums[n + 1]);
      assertEquals(0, y[0] + y[OFFSET + ROWS * n]);
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void readingAheadStaysWithinItsRangeAndChangesNothing(Kernels kernels) {
    for (int n = 0; n < 200; n++) {
      float[] x = gaussians(n, 6);
      float[] before = x.clone();
      kernels.readAhead(n, x, 0);
      assertArrayEquals(before, x);
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void productsWithATransposeAgreeWithDoublesWhereTallAndShortBlocksMeet(Kernels kernels) {
    int lanes = Math.max(kernels.lanes(), 2);
    for (int m : new int[] {7, 8, 9, 16, 21}) {
      for (int n : new int[] {2 * lanes - 1, 2 * lanes, 2 * lanes + 1, 4 * lanes, 5 * lanes + 3}) {
        for (int k : new int[] {0, 1, 70, 300}) {
          for (boolean accumulate : new boolean[] {false, true}) {
            transposedProduct(kernels, m, n, k, accumulate);
          }
        }
      }
    }
  }

  private static void transposedProduct(Kernels kernels, int m, int n, int k, boolean accumulate) {
    int lda = m + 1;
    int ldc = n + 2;
    float[] a = gaussians(OFFSET + k * lda + 64, 7);
    float[] b = gaussians(OFFSET + k * n + 64, 8);
    float[] c = gaussians(OFFSET + m * ldc, 9);
    float[] before = c.clone();
    kernels.multiplyTransposedA(m, n, k, a, OFFSET, lda, b, OFFSET, n, c, OFFSET, ldc, accumulate);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < ldc; j++) {
        int at = OFFSET + i * ldc + j;
        if (j >= n) {
          assertEquals(before[at], c[at]);
          continue;
        }
        double expected = accumulate ? before[at] : 0;
        double magnitude = Math.abs(expected);
        for (int l = 0; l < k; l++) {
          double term = (double) a[OFFSET + l * lda + i] * b[OFFSET + l * n + j];
          expected += term;
          magnitude += Math.abs(term);
        }
        assertWithin(expected, c[at], Tolerance.ofSum(k + 1, magnitude), "product");
      }
    }
  }

  private static float[] gaussians(int n, long seed) {
    Random random = new Random(seed);
    float[] x = new float[n];
    for (int i = 0; i < n; i++) {
      x[i] = (float) random.nextGaussian();
    }
    return x;
  }
}
