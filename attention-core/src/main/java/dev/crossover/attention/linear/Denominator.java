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

  /// `sum + eps`.
  static Denominator plus(double eps) {
    float added = (float) eps;
    return sum -> sum + added;
  }

  /// `max(sum, least)`.
  static Denominator atLeast(double least) {
    float bound = (float) least;
    return sum -> Math.max(sum, bound);
  }

  /// `sum + 2·stabilizer` where `|sum| <= stabilizer`, the sum elsewhere.
  static Denominator awayFromZero(double stabilizer) {
    float near = (float) stabilizer;
    return sum -> Math.abs(sum) <= near ? sum + 2 * near : sum;
  }
}
