// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// Packed rows, at the width of this run, against their scalar twin bit by bit where rows are
/// restored, and against sums in double precision where they are met by a vector; room around what
/// is written must stay as it is.
class PackedRowsTest {
  private static final int[] WIDTHS = {1, 7, 8, 16, 24, 31, 32, 48, 64, 72, 96, 128, 130, 256};
  private static final int[] GROUPS = {1, 4, 8, 16, 32, 64};
  private static final int[] COUNTS = {0, 1, 2, 3, 4, 5, 16, 17, 32, 63};
  private static final float UNTOUCHED = 12345;

  private final Random random = new Random(7);

  private float[] numbers(int count) {
    float[] numbers = new float[count];
    for (int i = 0; i < count; i++) {
      numbers[i] = (float) random.nextGaussian();
    }
    return numbers;
  }

  private byte[] packed(int count) {
    byte[] packed = new byte[count];
    random.nextBytes(packed);
    return packed;
  }

  private static float[] filled(int count) {
    float[] numbers = new float[count];
    Arrays.fill(numbers, UNTOUCHED);
    return numbers;
  }

  private static void assertUntouched(float[] numbers, int from, int written) {
    for (int i = 0; i < numbers.length; i++) {
      assertTrue((i >= from && i < from + written) || numbers[i] == UNTOUCHED, "at " + i);
    }
  }

  /// Number c by bits written one after the other: plane after plane, byte after byte.
  private static int code(byte[] b, int bo, int dim, int bits, int c) {
    int stride = PackedRows.stride(dim, bits);
    int code = 0;
    for (int bit = 0; bit < bits; bit++) {
      int at = c / stride * bits + bit;
      code += (b[bo + c % stride] >> at & 1) << bit;
    }
    return code;
  }

  /// A sum of some products, each rounded and each added with a rounding, errs by no more roundings
  /// of the sum of their magnitudes than there are roundings of each: one for every term, one of
  /// the product, one of the factor, one of the shift.
  private static void assertSum(double sum, double magnitude, int terms, float found, String at) {
    double bound = (terms + 5) * 0x1p-24 * magnitude;
    assertTrue(Math.abs(found - sum) <= bound, at + ": " + found + " and " + sum + ", " + bound);
  }

  @Test
  void rowsTakeTheBytesOfTheirBits() {
    assertEquals(64, PackedRows.stride(64, 8));
    assertEquals(32, PackedRows.stride(64, 4));
    assertEquals(16, PackedRows.stride(64, 2));
    assertEquals(4, PackedRows.stride(7, 4));
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4, 8})
  void restoredRowsAreRoundedTwiceAndNothingElse(int bits) {
    for (int dim : WIDTHS) {
      int stride = PackedRows.stride(dim, bits);
      byte[] b = packed(stride + 5);
      float[] scale = numbers(dim + 2);
      float[] minimum = numbers(dim + 2);
      float[] columns = filled(dim + 4);
      PackedRows.restoreColumns(dim, bits, b, 5, scale, minimum, 2, columns, 1);
      for (int c = 0; c < dim; c++) {
        float scaled = code(b, 5, dim, bits, c) * scale[2 + c];
        assertEquals(scaled + minimum[2 + c], columns[1 + c], 0, dim + " at " + c);
      }
      assertUntouched(columns, 1, dim);
      for (int group : GROUPS) {
        if (dim % group == 0) {
          float[] groups = filled(dim + 4);
          PackedRows.restoreGroups(dim, bits, group, b, 5, scale, minimum, 2, groups, 1);
          for (int c = 0; c < dim; c++) {
            float scaled = code(b, 5, dim, bits, c) * scale[2 + c / group];
            float expected = scaled + minimum[2 + c / group];
            assertEquals(expected, groups[1 + c], 0, dim + " by " + group + " at " + c);
          }
          assertUntouched(groups, 1, dim);
        }
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4, 8})
  void dotProductsAreThoseOfTheCodes(int bits) {
    for (int dim : WIDTHS) {
      int stride = PackedRows.stride(dim, bits);
      for (int n : COUNTS) {
        float[] x = numbers(dim + 3);
        byte[] b = packed(n * stride + 5);
        float[] y = filled(n + 20);
        PackedRows.dots(n, dim, bits, x, 3, 0.75f, b, 5, y, 1);
        for (int j = 0; j < n; j++) {
          double sum = 0.75;
          double magnitude = 0.75;
          for (int c = 0; c < dim; c++) {
            double term = (double) x[3 + c] * code(b, 5 + j * stride, dim, bits, c);
            sum += term;
            magnitude += Math.abs(term);
          }
          assertSum(sum, magnitude, dim, y[1 + j], dim + " of " + n + " row " + j);
        }
        assertUntouched(y, 1, n);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {2, 4, 8})
  void weightedSumsAreThoseOfTheRestoredRows(int bits) {
    for (int dim : WIDTHS) {
      for (int group : GROUPS) {
        for (int n : dim % group == 0 ? COUNTS : new int[0]) {
          weightedSum(bits, dim, group, n);
        }
      }
    }
  }

  private void weightedSum(int bits, int dim, int group, int n) {
    int stride = PackedRows.stride(dim, bits);
    float[] w = numbers(n + 3);
    byte[] b = packed(n * stride + 5);
    float[] scale = numbers(n * dim / group + 2);
    float[] minimum = numbers(n * dim / group + 2);
    float[] before = numbers(dim);
    float[] y = filled(dim + 4);
    System.arraycopy(before, 0, y, 1, dim);
    PackedRows.mix(n, dim, bits, group, w, 3, b, 5, scale, minimum, 2, y, 1);
    for (int c = 0; c < dim; c++) {
      double sum = before[c];
      double magnitude = Math.abs(before[c]);
      for (int j = 0; j < n; j++) {
        int g = 2 + (j * dim + c) / group;
        double scaled = (double) scale[g] * code(b, 5 + j * stride, dim, bits, c);
        sum += w[3 + j] * (scaled + minimum[g]);
        magnitude += Math.abs(w[3 + j]) * (Math.abs(scaled) + Math.abs(minimum[g]));
      }
      assertSum(sum, magnitude, 2 * n, y[1 + c], dim + " by " + group + " of " + n + " at " + c);
    }
    assertUntouched(y, 1, dim);
  }

  /// A row's product has the same bits wherever it stands among others.
  @ParameterizedTest
  @ValueSource(ints = {4, 8})
  void placesDoNotMatter(int bits) {
    int dim = 64;
    int stride = PackedRows.stride(dim, bits);
    float[] x = numbers(dim);
    byte[] b = packed(33 * stride);
    float[] together = new float[33];
    PackedRows.dots(33, dim, bits, x, 0, 1.5f, b, 0, together, 0);
    float[] alone = new float[33];
    for (int j = 0; j < 33; j++) {
      PackedRows.dots(1, dim, bits, x, 0, 1.5f, b, j * stride, alone, j);
    }
    assertArrayEquals(alone, together);
  }

  /// From 256 bits on, and only for whole vectors.
  @Test
  void wideRowsOfWholeVectorsAreMetInRegisters() {
    boolean wide = KernelSelection.VECTOR && Lanes.L >= 8;
    assertEquals(wide, PackedRows.dotsInRegisters(64, 4));
    assertEquals(wide, PackedRows.dotsInRegisters(64, 8));
    assertEquals(wide, PackedRows.mixInRegisters(64, 4, 32));
    assertFalse(PackedRows.dotsInRegisters(64, 2));
    assertFalse(PackedRows.dotsInRegisters(65, 4));
    assertFalse(PackedRows.mixInRegisters(64, 4, 4));
  }
}
