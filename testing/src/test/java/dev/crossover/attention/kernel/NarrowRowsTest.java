// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// Products with rows of bytes and of bfloat16 against sums in double precision: any width, any
/// number of rows, with room around them that must stay as it is.
class NarrowRowsTest {
  private static final int[] WIDTHS = {1, 7, 8, 16, 31, 64, 72, 130};
  private static final int[] COUNTS = {1, 2, 3, 4, 5, 17, 63, 64};
  private static final float UNTOUCHED = 12345;

  private final Random random = new Random(4);

  private float[] numbers(int count) {
    float[] numbers = new float[count];
    for (int i = 0; i < count; i++) {
      numbers[i] = (float) random.nextGaussian();
    }
    return numbers;
  }

  private byte[] codes(int count) {
    byte[] codes = new byte[count];
    random.nextBytes(codes);
    return codes;
  }

  private short[] brains(int count) {
    short[] brains = new short[count];
    for (int i = 0; i < count; i++) {
      brains[i] = (short) (Float.floatToRawIntBits((float) random.nextGaussian()) >>> 16);
    }
    return brains;
  }

  private static float brain(short bits) {
    return Float.intBitsToFloat(bits << 16);
  }

  /// A sum of n products, each rounded and each added with a rounding, errs by n + 1 roundings of
  /// the sum of their magnitudes at most; a scale adds two more.
  private static void assertSum(double[] terms, float found, String where) {
    double sum = 0;
    double magnitude = 0;
    for (double term : terms) {
      sum += term;
      magnitude += Math.abs(term);
    }
    double bound = (terms.length + 3) * 0x1p-24 * magnitude;
    assertTrue(Math.abs(found - sum) <= bound, where + ": " + found + " and " + sum + ", " + bound);
  }

  @Test
  void dotProductsAreThoseOfTheWidenedRows() {
    for (int dim : WIDTHS) {
      for (int n : COUNTS) {
        float[] x = numbers(dim + 3);
        byte[] b = codes(n * dim + 5);
        short[] s = brains(n * dim + 5);
        float[] scale = numbers(n + 2);
        float[] ofBytes = filled(n + 4);
        float[] ofBrains = filled(n + 4);
        NarrowRows.byteDots(n, dim, x, 3, b, 5, scale, 2, ofBytes, 1);
        NarrowRows.brainDots(n, dim, x, 3, s, 5, ofBrains, 1);
        for (int j = 0; j < n; j++) {
          double[] bytes = new double[dim];
          double[] brains = new double[dim];
          for (int c = 0; c < dim; c++) {
            bytes[c] = (double) x[3 + c] * b[5 + j * dim + c] * scale[2 + j];
            brains[c] = (double) x[3 + c] * brain(s[5 + j * dim + c]);
          }
          assertSum(bytes, ofBytes[1 + j], "bytes " + dim + " " + n);
          assertSum(brains, ofBrains[1 + j], "brains " + dim + " " + n);
        }
        assertUntouched(ofBytes, n);
        assertUntouched(ofBrains, n);
      }
    }
  }

  @Test
  void weightedSumsAreThoseOfTheWidenedRows() {
    for (int dim : WIDTHS) {
      for (int n : COUNTS) {
        int width = Math.max(1, dim - 3);
        float[] w = numbers(n + 3);
        byte[] b = codes(n * dim + 5);
        short[] s = brains(n * dim + 5);
        float[] scale = numbers(n + 2);
        float[] before = numbers(width);
        float[] ofBytes = filled(width + 4);
        float[] ofBrains = filled(width + 4);
        System.arraycopy(before, 0, ofBytes, 1, width);
        System.arraycopy(before, 0, ofBrains, 1, width);
        NarrowRows.byteMix(n, dim, width, w, 3, b, 5, scale, 2, ofBytes, 1);
        NarrowRows.brainMix(n, dim, width, w, 3, s, 5, ofBrains, 1);
        for (int c = 0; c < width; c++) {
          double[] bytes = new double[n + 1];
          double[] brains = new double[n + 1];
          bytes[n] = before[c];
          brains[n] = before[c];
          for (int j = 0; j < n; j++) {
            bytes[j] = (double) w[3 + j] * scale[2 + j] * b[5 + j * dim + c];
            brains[j] = (double) w[3 + j] * brain(s[5 + j * dim + c]);
          }
          assertSum(bytes, ofBytes[1 + c], "bytes " + dim + " " + n);
          assertSum(brains, ofBrains[1 + c], "brains " + dim + " " + n);
        }
        assertUntouched(ofBytes, width);
        assertUntouched(ofBrains, width);
      }
    }
  }

  /// A row's product has the same bits wherever it stands among others.
  @Test
  void placesDoNotMatter() {
    int dim = 72;
    float[] x = numbers(dim);
    byte[] b = codes(9 * dim);
    float[] scale = numbers(9);
    float[] together = new float[9];
    NarrowRows.byteDots(9, dim, x, 0, b, 0, scale, 0, together, 0);
    float[] alone = new float[9];
    for (int j = 0; j < 9; j++) {
      NarrowRows.byteDots(1, dim, x, 0, b, j * dim, scale, j, alone, j);
    }
    assertArrayEquals(alone, together);
  }

  /// Every half there is.
  @Test
  void halvesAreWidenedExactly() {
    short[] halves = new short[1 << 16];
    for (int i = 0; i < halves.length; i++) {
      halves[i] = (short) i;
    }
    float[] widened = new float[halves.length];
    Widening.half(halves.length, halves, 0, widened, 0);
    for (int i = 0; i < halves.length; i++) {
      int exponent = i >>> 10 & 31;
      int mantissa = i & 1023;
      double magnitude =
          exponent == 0 ? mantissa * 0x1p-24 : (1024 + mantissa) * Math.pow(2, exponent - 25);
      double sign = i >>> 15 == 1 ? -1 : 1;
      double special = mantissa == 0 ? sign * Double.POSITIVE_INFINITY : Double.NaN;
      double expected = exponent < 31 ? sign * magnitude : special;
      assertEquals((float) expected, widened[i], 0, "half " + i);
    }
  }

  private static float[] filled(int count) {
    float[] numbers = new float[count];
    Arrays.fill(numbers, UNTOUCHED);
    return numbers;
  }

  private static void assertUntouched(float[] numbers, int written) {
    assertEquals(UNTOUCHED, numbers[0]);
    for (int i = written + 1; i < numbers.length; i++) {
      assertEquals(UNTOUCHED, numbers[i]);
    }
  }
}
