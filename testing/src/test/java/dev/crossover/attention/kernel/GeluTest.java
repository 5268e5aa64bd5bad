// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/// The Gaussian error linear unit against the integral of the density, by Simpson's rule.
class GeluTest {
  private static final int N = 403;

  private static double density(double x) {
    return Math.exp(-x * x / 2) / Math.sqrt(2 * Math.PI);
  }

  private static double distribution(double x) {
    int steps = 2000;
    double h = x / steps;
    double sum = density(0) + density(x);
    for (int i = 1; i < steps; i++) {
      sum += (i % 2 == 0 ? 2 : 4) * density(i * h);
    }
    return 0.5 + sum * h / 3;
  }

  @Test
  void valueAndSlopeAreThoseOfTheDefinition() {
    float[] x = new float[N];
    for (int i = 0; i < N; i++) {
      x[i] = (i - N / 2) * 0.04f;
    }
    float[] y = new float[N];
    float[] d = new float[N];
    Gelu.apply(N, x, 0, y, 0);
    Gelu.slope(N, x, 0, d, 0);
    for (int i = 0; i < N; i++) {
      double phi = distribution(x[i]);
      double bound = 4e-7 * (1 + Math.abs(x[i]));
      assertEquals(x[i] * phi, y[i], bound, "at " + x[i]);
      assertEquals(phi + x[i] * density(x[i]), d[i], bound, "slope at " + x[i]);
    }
  }
}
