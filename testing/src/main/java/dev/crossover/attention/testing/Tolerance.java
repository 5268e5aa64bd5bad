// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import static org.junit.jupiter.api.Assertions.assertTrue;

/// Error bounds of float32 arithmetic, derived, not tuned (Higham, Accuracy and Stability of
/// Numerical Algorithms, section 3.1).
public final class Tolerance {
  /// Unit roundoff of float32.
  public static final double UNIT = 0x1p-24;

  /// Relative error allowed to one exponential of the kernels.
  public static final double EXP = 3e-7;

  private Tolerance() {}

  /// Bound on a float32 sum of `n` products, in any order: `(n + 2) · u · Σ|aᵢbᵢ|`, the 2 for
  /// rounding the products and the result.
  ///
  /// @param magnitudes `Σ|aᵢbᵢ|`
  public static double ofSum(int n, double magnitudes) {
    return (n + 2) * UNIT * magnitudes + Float.MIN_NORMAL;
  }

  /// Bound on one element of softmax attention over `keys` keys.
  ///
  /// A score is a sum of `dim` products that starts at minus a reference of at most
  /// `scoreMagnitude`, so it errs by ε ≤ (2·dim + 8)·u·scoreMagnitude, with the scaling of q. Each
  /// weight then errs by η = ε + exp's own error, relatively, and so do numerator and denominator,
  /// each also by its accumulation (keys + 8)·u: together twice that, times Σ pⱼ|vⱼ|.
  ///
  /// @param scoreMagnitude largest `scale · Σ|q·k| + |bias|` of the row
  /// @param weightedMagnitude `Σ pⱼ|vⱼ|`
  public static double ofAttention(
      int dim, int keys, double scoreMagnitude, double weightedMagnitude) {
    double weight = (2 * dim + 8) * UNIT * scoreMagnitude + EXP;
    return 2 * (weight + (keys + 8) * UNIT) * weightedMagnitude + Float.MIN_NORMAL;
  }

  /// Bound on a log-sum-exp of `keys` scores: their largest error, the sum's relative error, and
  /// the rounding of the result.
  public static double ofLogSumExp(int dim, int keys, double scoreMagnitude, double result) {
    return (2 * dim + 10) * UNIT * scoreMagnitude
        + EXP
        + (keys + 8) * UNIT
        + 2 * UNIT * Math.abs(result);
  }

  /// Fails unless both are within `tolerance`, or both NaN, or the same infinity.
  public static void assertWithin(double expected, double actual, double tolerance, String what) {
    boolean equal = Double.compare(expected, actual) == 0 || expected == actual;
    assertTrue(
        equal || Math.abs(expected - actual) <= tolerance,
        () -> what + ": expected " + expected + " ± " + tolerance + ", but was " + actual);
  }
}
