// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.layer.Elementary.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// Elementwise functions against their definitions in double precision.
class ElementaryTest {
  private static final int N = 4001;

  private static float[] points() {
    float[] x = new float[N];
    for (int i = 0; i < N; i++) {
      x[i] = (i - N / 2) * 0.006f;
    }
    return x;
  }

  /// erf by its Taylor series near 0 and by the continued fraction of erfc beyond.
  private static double erf(double x) {
    double a = Math.abs(x);
    if (a > 3) {
      double f = 0;
      for (int k = 60; k > 0; k--) {
        f = k / 2.0 / (a + f);
      }
      return Math.signum(x) * (1 - Math.exp(-a * a) / Math.sqrt(Math.PI) / (a + f));
    }
    double term = x;
    double sum = x;
    for (int k = 1; k < 120; k++) {
      term *= -x * x / k;
      sum += term / (2 * k + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }

  private static double exact(Function function, double x) {
    double sigmoid = 1 / (1 + Math.exp(-x));
    return switch (function) {
      case NONE -> x;
      case RELU -> Math.max(0, x);
      case GELU -> x / 2 * (1 + erf(x / Math.sqrt(2)));
      case GELU_TANH ->
          x / 2 * (1 + Math.tanh(Math.sqrt(2 / Math.PI) * (x + 0.044715 * x * x * x)));
      case SILU -> x * sigmoid;
      case SIGMOID -> sigmoid;
      case TANH -> Math.tanh(x);
      case SOFTPLUS -> Math.log1p(Math.exp(x));
      case LOG_SIGMOID -> -Math.log1p(Math.exp(-x));
    };
  }

  /// A few roundings of numbers of the size of x, and the stated error of erf and tanh times x.
  private static double bound(double x) {
    return 4e-7 * (1 + Math.abs(x));
  }

  @ParameterizedTest
  @EnumSource(Function.class)
  void valuesAreThoseOfTheDefinition(Function function) {
    float[] x = points();
    float[] y = new float[N];
    function.apply(N, x, 0, y, 0, new float[N]);
    for (int i = 0; i < N; i++) {
      assertEquals(exact(function, x[i]), y[i], bound(x[i]), function + " at " + x[i]);
    }
  }

  @ParameterizedTest
  @EnumSource(Function.class)
  void derivativesAreThoseOfCentralDifferences(Function function) {
    float[] x = points();
    float[] d = new float[N];
    function.derivative(N, x, 0, d, 0, new float[N]);
    double h = 1e-5;
    for (int i = 0; i < N; i++) {
      boolean kink = function == Function.RELU && x[i] == 0;
      double slope = (exact(function, x[i] + h) - exact(function, x[i] - h)) / (2 * h);
      assertEquals(kink ? 0 : slope, d[i], bound(x[i]) + 1e-9, function + " at " + x[i]);
    }
  }

  @Test
  void farValuesStayFinite() {
    float[] x = {-1e4f, -100, 100, 1e4f, -1e4f, -100, 100, 1e4f, 0, 0, 0, 0, 0, 0, 0, 0};
    float[] y = new float[x.length];
    for (Function function : Function.values()) {
      function.apply(x.length, x, 0, y, 0, new float[x.length]);
      for (float value : y) {
        assertTrue(Float.isFinite(value), function + " gave " + value);
      }
      function.derivative(x.length, x, 0, y, 0, new float[x.length]);
      for (float value : y) {
        assertTrue(Float.isFinite(value), function + " has slope " + value);
      }
    }
  }
}
