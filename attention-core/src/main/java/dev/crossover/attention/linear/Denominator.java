// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

/// The rule r that guards the denominator of linear attention: `out_i = numerator_i / r(φ(q_i)·z)`.
@FunctionalInterface
public interface Denominator {
  /// The sum itself.
  Denominator PLAIN = sum -> sum;

  /// What the numerator is divided by.
  ///
  /// @param sum φ(q_i)·z over the keys that query i may see, at least one
  float of(float sum);

  /// The derivative of [#of]; 1 unless a rule says otherwise.
  ///
  /// @param sum φ(q_i)·z over the keys that query i may see, at least one
  default float slope(float sum) {
    return 1;
  }

  /// `sum + eps`.
  static Denominator plus(double eps) {
    float added = (float) eps;
    return sum -> sum + added;
  }

  /// `max(sum, least)`, whose derivative is 0 up to the bound.
  static Denominator atLeast(double least) {
    return new AtLeast((float) least, false);
  }

  /// `max(|sum|, least)`, whose derivative is 0 up to the bound.
  static Denominator magnitudeAtLeast(double least) {
    return new AtLeast((float) least, true);
  }

  /// `sum + 2·stabilizer` where `|sum| <= stabilizer`, the sum elsewhere; the step between them is
  /// a constant.
  static Denominator awayFromZero(double stabilizer) {
    float near = (float) stabilizer;
    return sum -> Math.abs(sum) <= near ? sum + 2 * near : sum;
  }

  /// The sum or its magnitude, bounded from below.
  ///
  /// @param bound the least value
  /// @param magnitude whether the sum's sign is dropped
  record AtLeast(float bound, boolean magnitude) implements Denominator {
    @Override
    public float of(float sum) {
      return Math.max(magnitude ? Math.abs(sum) : sum, bound);
    }

    @Override
    public float slope(float sum) {
      if (magnitude) {
        return Math.abs(sum) > bound ? Math.signum(sum) : 0;
      }
      return sum > bound ? 1 : 0;
    }
  }
}
