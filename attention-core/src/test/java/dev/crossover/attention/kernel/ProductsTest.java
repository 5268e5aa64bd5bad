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
