// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Products with a matrix packed once, against sums in double precision.
class PackedMatrixTest {

  @ParameterizedTest
  @CsvSource({"1,1,1", "3,5,7", "16,16,16", "9,64,33", "17,100,129", "4,130,20", "65,3,200"})
  void productsAreThoseOfTheDefinition(int m, int k, int n) {
    int lda = k + 3;
    int ldb = n + 2;
    int ldc = n + 5;
    float[] a = Draws.gaussian(1, m * lda).data();
    float[] b = Draws.gaussian(2, k * ldb).data();
    float[] transposed = new float[n * (k + 1)];
    for (int row = 0; row < k; row++) {
      for (int c = 0; c < n; c++) {
        transposed[c * (k + 1) + row] = b[row * ldb + c];
      }
    }
    PackedMatrix plain = new PackedMatrix(new Scratch(), k, n);
    PackedMatrix turned = new PackedMatrix(new Scratch(), k, n);
    for (int panel = 0; panel < plain.panels(); panel++) {
      plain.pack(panel, b, 0, ldb);
      turned.packTransposed(panel, transposed, 0, k + 1);
    }
    float[] c = Draws.gaussian(3, m * ldc).data();
    float[] before = c.clone();
    plain.multiply(m, a, 0, lda, c, 0, ldc, true);
    float[] d = new float[m * ldc];
    turned.multiply(m, a, 0, lda, d, 0, ldc, false);
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < ldc; j++) {
        double sum = 0;
        double size = 0;
        for (int l = 0; l < k && j < n; l++) {
          sum += (double) a[i * lda + l] * b[l * ldb + j];
          size += Math.abs((double) a[i * lda + l] * b[l * ldb + j]);
        }
        double bound = 1.2e-7 * (k + 1) * (size + Math.abs(before[i * ldc + j]));
        assertEquals(before[i * ldc + j] + sum, c[i * ldc + j], bound);
        assertEquals(sum, d[i * ldc + j], bound);
      }
    }
  }
}
