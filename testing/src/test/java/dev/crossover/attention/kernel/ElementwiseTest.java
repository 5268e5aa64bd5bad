// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.testing.Tolerance.UNIT;
import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.testing.Tolerance;
import java.util.Arrays;
import java.util.Random;
import java.util.function.DoubleUnaryOperator;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Vector reductions and functions of the selected kernels and of their scalar twin, against
/// doubles.
class ElementwiseTest {
  private static final int OFFSET = 3;
  private static final float UNTOUCHED = 777;

  static Stream<Kernels> kernels() {
    return Stream.of(Kernels.get(), new ScalarKernels());
  }

  /// Anything that writes y from x.
  @FunctionalInterface
  private interface Map {
    void apply(Kernels kernels, int n, float[] x, int xo, float[] y, int yo);
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void upperProductsAreThoseOfTheUpperTriangleRowByRow(Kernels kernels) {
    for (int d : new int[] {1, 2, 7, 16, 17, 33}) {
      for (int spare : new int[] {0, 40}) {
        float[] x = new float[d + 3 + spare];
        for (int a = 0; a < x.length; a++) {
          x[a] = a - 4;
        }
        float[] y = new float[d * (d + 1) / 2 + 2 + spare];
        kernels.upperProducts(d, 2, 0.5f, x, 3, y, 2);
        int o = 2;
        for (int a = 0; a < d; a++) {
          for (int b = a; b < d; b++) {
            assertEquals(x[3 + a] * x[3 + b] * (a == b ? 0.5f : 2), y[o++]);
          }
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void quadraticIsThePolynomialOfEveryElementAndNoOther(Kernels kernels) {
    for (int n : new int[] {0, 1, 15, 16, 37}) {
      float[] x = new float[n + 2];
      for (int i = 0; i < x.length; i++) {
        x[i] = i - 8;
      }
      kernels.quadratic(n, 0.5f, 1, 3, x, 1);
      for (int i = 0; i < x.length; i++) {
        float t = i - 8;
        assertEquals(i == 0 || i > n ? t : 0.5f * t * t + t + 3, x[i]);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void largestMagnitudeFindsEveryElementOfEitherSignAndNan(Kernels kernels) {
    for (int n : new int[] {1, 5, 16, 33, 70}) {
      for (int at = 0; at < n; at++) {
        float[] x = new float[n + 20];
        java.util.Arrays.fill(x, 9);
        java.util.Arrays.fill(x, 2, 2 + n, -0.5f);
        x[2 + at] = at % 2 == 0 ? -3 : 3;
        assertEquals(3, kernels.largestMagnitude(n, x, 2));
        x[2 + at] = Float.NEGATIVE_INFINITY;
        assertEquals(Float.POSITIVE_INFINITY, kernels.largestMagnitude(n, x, 2));
        x[2 + at] = Float.NaN;
        assertEquals(Float.NaN, kernels.largestMagnitude(n, x, 2));
      }
    }
    assertEquals(0, kernels.largestMagnitude(0, new float[20], 0));
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void reductionsAgreeWithDoublesAtEveryLength(Kernels kernels) {
    for (int n = 0; n <= 4 * kernels.lanes() + 1; n++) {
      float[] x = gaussians(n, 1);
      float[] y = gaussians(n, 2);
      double dot = 0;
      double dotMagnitude = 0;
      double sum = 0;
      double sumMagnitude = 0;
      double max = Double.NEGATIVE_INFINITY;
      for (int i = OFFSET; i < OFFSET + n; i++) {
        dot += (double) x[i] * y[i];
        dotMagnitude += Math.abs((double) x[i] * y[i]);
        sum += x[i];
        sumMagnitude += Math.abs(x[i]);
        max = Math.max(max, x[i]);
      }
      double dotBound = Tolerance.ofSum(n, dotMagnitude);
      assertWithin(dot, kernels.dot(n, x, OFFSET, y, OFFSET), dotBound, "dot");
      assertWithin(sum, kernels.sum(n, x, OFFSET), Tolerance.ofSum(n, sumMagnitude), "sum");
      assertWithin(max, kernels.max(n, x, OFFSET), 0, "max");
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void maximumOfNanIsNan(Kernels kernels) {
    float[] x = new float[41];
    for (int at = 0; at < x.length; at++) {
      Arrays.fill(x, 1);
      x[at] = Float.NaN;
      assertEquals(Float.NaN, kernels.max(x.length, x, 0));
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void linearMapsRoundAtMostTwice(Kernels kernels) {
    for (int n = 0; n <= 4 * kernels.lanes() + 1; n++) {
      float[] x = gaussians(n, 3);
      float[] y = gaussians(n, 4);
      float[] sum = new float[x.length];
      float[] product = new float[x.length];
      float[] scaled = new float[x.length];
      float[] moved = y.clone();
      kernels.add(n, x, OFFSET, y, OFFSET, sum, OFFSET);
      kernels.multiplyElements(n, x, OFFSET, y, OFFSET, product, OFFSET);
      kernels.scale(n, 1.5f, x, OFFSET, scaled, OFFSET);
      kernels.axpy(n, -0.7f, x, OFFSET, moved, OFFSET);
      for (int i = 0; i < x.length; i++) {
        boolean inside = i >= OFFSET && i < OFFSET + n;
        assertEquals(inside ? x[i] + y[i] : 0, sum[i]);
        assertEquals(inside ? x[i] * y[i] : 0, product[i]);
        assertEquals(inside ? 1.5f * x[i] : 0, scaled[i]);
        double expected = inside ? (double) -0.7f * x[i] + y[i] : y[i];
        assertWithin(expected, moved[i], 2 * UNIT * (Math.abs(x[i]) + Math.abs(y[i])), "axpy");
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void expIsWithinItsBoundOverItsWholeRange(Kernels kernels) {
    float[] x = sweep(-87, 88, 200_000);
    float[] y = new float[x.length];
    kernels.exp(x.length, 1, 0, x, 0, y, 0);
    for (int i = 0; i < x.length; i++) {
      double expected = Math.exp(x[i]);
      assertWithin(expected, y[i], Tolerance.EXP * expected, "exp(" + x[i] + ")");
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void expReturnsTheSumOfWhatItWrites(Kernels kernels) {
    for (int n = 0; n <= 4 * kernels.lanes() + 1; n++) {
      float[] x = gaussians(n, 10);
      float total = kernels.exp(n, 0.5f, -1, x, OFFSET, x, OFFSET);
      double expected = 0;
      for (int i = OFFSET; i < OFFSET + n; i++) {
        expected += x[i];
      }
      assertWithin(expected, total, Tolerance.ofSum(n, expected), "sum");
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void expOfExtremesIsZeroInfiniteOrNan(Kernels kernels) {
    float inf = Float.POSITIVE_INFINITY;
    float negativeNan = Float.intBitsToFloat(0xffc00000);
    float[] x = {-inf, -1e30f, -87.01f, -0f, 88.01f, 1e30f, inf, Float.NaN, negativeNan};
    float[] expected = {0, 0, 0, 1, inf, inf, inf, Float.NaN, Float.NaN};
    float[] y = new float[x.length];
    kernels.exp(x.length, 1, 0, x, 0, y, 0);
    for (int i = 0; i < x.length; i++) {
      assertEquals(expected[i], y[i], "exp(" + x[i] + ")");
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void functionsAgreeWithDoublesAtEveryLengthAndWriteNothingElse(Kernels kernels) {
    everyLength(kernels, (k, n, x, xo, y, yo) -> k.exp(n, 1, 0, x, xo, y, yo), Math::exp);
    everyLength(kernels, Kernels::eluPlusOne, v -> v > 0 ? v + 1 : Math.exp(v));
    everyLength(kernels, (k, n, x, xo, y, yo) -> k.relu(n, 0, x, xo, y, yo), v -> Math.max(v, 0));
    everyLength(kernels, Kernels::tanh, Math::tanh);
    everyLength(
        kernels, (k, n, x, xo, y, yo) -> k.sinCos(n, x, xo, y, yo, new float[n], 0), Math::sin);
    everyLength(
        kernels, (k, n, x, xo, y, yo) -> k.sinCos(n, x, xo, new float[n], 0, y, yo), Math::cos);
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void onlyElementsWhoseControlIsAboveTheBoundAreKept(Kernels kernels) {
    for (int n = 0; n <= 4 * kernels.lanes() + 1; n++) {
      float[] x = gaussians(n, 7);
      for (int i = OFFSET; i < OFFSET + n; i += 3) {
        x[i] = i % 2 == 0 ? 0.25f : Float.NaN;
      }
      float[] y = gaussians(n, 8);
      float[] before = y.clone();
      kernels.keepAbove(n, 0.25f, x, OFFSET, y, OFFSET);
      for (int i = 0; i < y.length; i++) {
        boolean dropped = i >= OFFSET && i < OFFSET + n && !(x[i] > 0.25f);
        assertEquals(dropped ? 0 : before[i], y[i], "element " + i + " of " + n);
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void transposedRowsAreColumnsAndNothingElseIsWritten(Kernels kernels) {
    for (int rows : new int[] {0, 1, 3, 15, 16, 17, 33, 64}) {
      for (int columns : new int[] {0, 1, 2, 15, 16, 17, 40}) {
        float[] x = gaussians(rows * (columns + 2), 9);
        int ldy = rows + 1;
        float[] y = new float[OFFSET + columns * ldy + 1];
        Arrays.fill(y, UNTOUCHED);
        kernels.transpose(rows, columns, x, OFFSET, columns + 2, y, OFFSET, ldy);
        for (int i = 0; i < y.length; i++) {
          int c = Math.floorDiv(i - OFFSET, ldy);
          int r = Math.floorMod(i - OFFSET, ldy);
          boolean inside = c >= 0 && c < columns && r < rows;
          float expected = inside ? x[OFFSET + r * (columns + 2) + c] : UNTOUCHED;
          assertEquals(expected, y[i], rows + "x" + columns + ", element " + i);
        }
      }
    }
  }

  private static void everyLength(Kernels kernels, Map map, DoubleUnaryOperator function) {
    for (int n = 0; n <= 4 * kernels.lanes() + 1; n++) {
      float[] x = gaussians(n, 5);
      float[] y = new float[x.length];
      Arrays.fill(y, UNTOUCHED);
      map.apply(kernels, n, x, OFFSET, y, OFFSET);
      for (int i = 0; i < y.length; i++) {
        if (i < OFFSET || i >= OFFSET + n) {
          assertEquals(UNTOUCHED, y[i]);
        } else {
          double expected = function.applyAsDouble(x[i]);
          assertWithin(expected, y[i], Tolerance.EXP * Math.max(1, expected), "at " + x[i]);
        }
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void sineAndCosineAreAccurateToTwoTenMillionthsUpToTenThousand(Kernels kernels) {
    for (float limit : new float[] {1, 10, 1000, 10_000, 1e6f}) {
      float[] x = sweep(-limit, limit, 50_001);
      float[] s = new float[x.length];
      float[] c = new float[x.length];
      kernels.sinCos(x.length, x, 0, s, 0, c, 0);
      for (int i = 0; i < x.length; i++) {
        assertWithin(Math.sin(x[i]), s[i], 2e-7, "sin(" + x[i] + ")");
        assertWithin(Math.cos(x[i]), c[i], 2e-7, "cos(" + x[i] + ")");
      }
    }
    float[] bad = {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY};
    float[] s = new float[3];
    kernels.sinCos(3, bad, 0, s, 0, new float[3], 0);
    for (float value : s) {
      assertEquals(Float.NaN, value);
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void tanhIsAccurateToTwoTenMillionthsEverywhere(Kernels kernels) {
    float inf = Float.POSITIVE_INFINITY;
    for (float limit : new float[] {1e-3f, 1, 10, 1000}) {
      float[] x = sweep(-limit, limit, 50_001);
      float[] y = new float[x.length];
      kernels.tanh(x.length, x, 0, y, 0);
      for (int i = 0; i < x.length; i++) {
        assertWithin(Math.tanh(x[i]), y[i], 2e-7, "tanh(" + x[i] + ")");
      }
    }
    float[] x = {inf, -inf, Float.NaN, Float.intBitsToFloat(0xffc00000), 1e30f};
    kernels.tanh(5, x, 0, x, 0);
    assertEquals("[1.0, -1.0, NaN, NaN, 1.0]", Arrays.toString(x));
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void softmaxSumsToOneAndSurvivesLargeScores(Kernels kernels) {
    for (int n = 1; n <= 4 * kernels.lanes() + 1; n++) {
      float[] x = gaussians(n, 6);
      for (int i = OFFSET; i < OFFSET + n; i++) {
        x[i] = x[i] * 100 + 10_000;
      }
      double max = Double.NEGATIVE_INFINITY;
      for (int i = OFFSET; i < OFFSET + n; i++) {
        max = Math.max(max, x[i]);
      }
      double sum = 0;
      for (int i = OFFSET; i < OFFSET + n; i++) {
        sum += Math.exp(x[i] - max);
      }
      float[] y = x.clone();
      kernels.softmax(n, y, OFFSET);
      for (int i = OFFSET; i < OFFSET + n; i++) {
        double expected = Math.exp(x[i] - max) / sum;
        assertWithin(expected, y[i], 2 * Tolerance.EXP + n * UNIT, "softmax");
      }
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void softmaxGivesMaskedEntriesExactlyZeroAndAnEmptyRowZeros(Kernels kernels) {
    float hidden = Float.NEGATIVE_INFINITY;
    float[] x = new float[40];
    Arrays.fill(x, hidden);
    kernels.softmax(40, x, 0);
    assertEquals(0, kernels.sum(40, x, 0));
    Arrays.fill(x, hidden);
    x[17] = -5000;
    kernels.softmax(40, x, 0);
    for (int i = 0; i < 40; i++) {
      assertEquals(i == 17 ? 1 : 0, x[i]);
    }
  }

  @ParameterizedTest
  @MethodSource("kernels")
  void additiveScoresAgreeWithDoubles(Kernels kernels) {
    int width = 9;
    for (int n = 0; n <= 4 * kernels.lanes() + 1; n++) {
      float[] q = gaussians(width, 7);
      float[] w = gaussians(width, 8);
      float[] kt = gaussians(width * (n + 2), 9);
      float[] s = new float[n + 2];
      kernels.additiveScores(n, width, q, OFFSET, kt, OFFSET, n + 2, w, OFFSET, s, 1);
      for (int j = 0; j < n; j++) {
        double expected = 0;
        double magnitude = 0;
        for (int a = 0; a < width; a++) {
          float z = q[OFFSET + a] + kt[OFFSET + a * (n + 2) + j];
          expected += w[OFFSET + a] * Math.tanh(z);
          magnitude += Math.abs(w[OFFSET + a]);
        }
        double bound = Tolerance.ofSum(width, magnitude) + 2e-7 * magnitude;
        assertWithin(expected, s[1 + j], bound, "score");
      }
      assertEquals(0, s[0] + s[n + 1]);
    }
  }

  private static float[] gaussians(int n, long seed) {
    Random random = new Random(seed);
    float[] x = new float[n + 2 * OFFSET];
    for (int i = 0; i < x.length; i++) {
      x[i] = (float) random.nextGaussian();
    }
    return x;
  }

  private static float[] sweep(float from, float to, int n) {
    float[] x = new float[n];
    for (int i = 0; i < n; i++) {
      x[i] = (float) (from + (to - from) * (i / (n - 1.0)));
    }
    return x;
  }
}
