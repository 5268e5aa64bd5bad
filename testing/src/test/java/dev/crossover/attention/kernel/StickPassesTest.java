// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class StickPassesTest {
  private static final double LN_2 = Math.log(2);

  @Test
  void logarithmsOfBothSharesAreRightNearAndFarFromZero() {
    float[] s = new float[2001];
    for (int i = 0; i < s.length; i++) {
      s[i] = (i - 1000) / 10f;
    }
    float[] share = s.clone();
    float[] lost = new float[s.length];
    StickPasses.logarithms(s.length, share, lost);
    for (int i = 0; i < s.length; i++) {
      double small = Math.log1p(Math.exp(-Math.abs(s[i] * LN_2))) / LN_2;
      double taken = Math.min(s[i], 0) - small;
      double left = Math.max(s[i], 0) + small;
      double relative = 1e-6 + 1e-7 * Math.abs(s[i]);
      assertEquals(taken, share[i], relative * Math.abs(taken) + 1e-37, "taken at " + s[i]);
      assertEquals(left, lost[i], relative * left + 1e-37, "left at " + s[i]);
    }
  }

  @Test
  void aHiddenKeyTakesNothingAndLeavesAll() {
    float[] share = {Float.NEGATIVE_INFINITY};
    float[] lost = {5};
    StickPasses.logarithms(1, share, lost);
    assertEquals(Float.NEGATIVE_INFINITY, share[0]);
    assertEquals(0, lost[0]);
    StickPasses.weights(1, 1, share, lost, new float[] {-1}, new float[1]);
    assertEquals(0, share[0]);
  }

  @Test
  void weightsAndGradientsAreThoseOfTheirSums() {
    int keys = 37;
    int rows = 5;
    float[] s = Draws.gaussian(1, keys, rows).data();
    float[] products = Draws.gaussian(2, keys, rows).data();
    float[] left = {0, -1, -2, -0.5f, -10};
    float[] rest = {0.5f, 1, -1, 0, 2};
    double[] weights = new double[keys * rows];
    double[] slopes = new double[keys * rows];
    double[] after = new double[rows];
    double[] given = new double[rows];
    for (int r = 0; r < rows; r++) {
      double stick = Math.pow(2, left[r]);
      double sum = 0;
      for (int at = (keys - 1) * rows + r; at >= 0; at -= rows) {
        double share = 1 / (1 + Math.pow(2, -s[at]));
        weights[at] = stick * share;
        double a = weights[at] * products[at];
        slopes[at] = a - share * (rest[r] - sum);
        sum += a;
        stick *= 1 - share;
      }
      after[r] = Math.log(stick) / LN_2 - left[r];
      given[r] = -sum;
    }
    float[] lost = new float[s.length];
    float[] share = new float[s.length];
    float[] here = new float[rows];
    StickPasses.logarithms(s.length, s, lost);
    StickPasses.powers(s.length, s, share);
    StickPasses.weights(keys, rows, s, lost, left, here);
    requireClose(weights, s);
    requireClose(after, here);
    StickPasses.gradients(keys, rows, s, share, products, rest, here);
    requireClose(slopes, products);
    requireClose(given, here);
  }

  private static void requireClose(double[] expected, float[] actual) {
    double largest = Arrays.stream(expected).map(Math::abs).max().orElse(0);
    for (int e = 0; e < expected.length; e++) {
      assertEquals(expected[e], actual[e], 2e-6 * largest, "element " + e);
    }
  }
}
