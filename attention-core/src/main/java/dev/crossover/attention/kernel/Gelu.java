// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// The Gaussian error linear unit x Φ(x) = x/2 (1 + erf(x/√2)) and its slope.
///
/// erf(z) is z P(z²)/Q(z²) on [−4, 4], held beyond, where it is ±1 in float32: degrees 6 and 4,
/// coefficients of the published minimax fit of Eigen's `erf` for floats (MPL 2.0); absolute error
/// below 3e-7. A plain loop of this length is not vectorised by the compiler.
public final class Gelu {
  static final float LIMIT = 4;
  static final float ROOT_HALF = 0.707106781f;
  static final float INVERSE_ROOT_TWO_PI = 0.398942280f;

  /// P from the highest power down.
  static final float P6 = -2.72614225801306e-10f;

  static final float P5 = 2.77068142495902e-08f;
  static final float P4 = -2.10102402082508e-06f;
  static final float P3 = -5.69250639462346e-05f;
  static final float P2 = -7.34990630326855e-04f;
  static final float P1 = -2.95459980854025e-03f;
  static final float P0 = -1.60960333262415e-02f;

  /// Q from the highest power down.
  static final float Q4 = -1.45660718464996e-05f;

  static final float Q3 = -2.13374055278905e-04f;
  static final float Q2 = -1.68282697438203e-03f;
  static final float Q1 = -7.37332916720468e-03f;
  static final float Q0 = -1.42647390514189e-02f;

  private Gelu() {}

  /// `y[i] = x[i] Φ(x[i])`; x and y may be the same range.
  public static void apply(int n, float[] x, int xo, float[] y, int yo) {
    int i = KernelSelection.VECTOR ? GeluPasses.apply(n, x, xo, y, yo) : 0;
    for (; i < n; i++) {
      y[yo + i] = 0.5f * x[xo + i] * (1 + erfOfRoot(x[xo + i]));
    }
  }

  /// `d[i] = Φ(x[i]) + x[i] φ(x[i])`; the ranges may not overlap.
  public static void slope(int n, float[] x, int xo, float[] d, int o) {
    Kernels kernels = Kernels.get();
    kernels.multiplyElements(n, x, xo, x, xo, d, o);
    kernels.exp(n, -0.5f, 0, d, o, d, o);
    int i = KernelSelection.VECTOR ? GeluPasses.slope(n, x, xo, d, o) : 0;
    for (; i < n; i++) {
      float v = x[xo + i];
      d[o + i] = 0.5f * (1 + erfOfRoot(v)) + v * INVERSE_ROOT_TWO_PI * d[o + i];
    }
  }

  /// erf(x/√2).
  private static float erfOfRoot(float x) {
    float z = Math.max(-LIMIT, Math.min(LIMIT, x * ROOT_HALF));
    float s = z * z;
    float p = ((((((P6 * s + P5) * s + P4) * s + P3) * s + P2) * s + P1) * s + P0) * z;
    float q = (((Q4 * s + Q3) * s + Q2) * s + Q1) * s + Q0;
    return p / q;
  }
}
