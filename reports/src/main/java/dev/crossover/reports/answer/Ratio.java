// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.Student;

/// How many times larger one measured quantity is than another, with its 95 % interval.
///
/// Ratio of the medians over forks. The interval is Welch's t on the logarithms of the forks'
/// values, widened where necessary to hold the ratio of the medians.
///
/// @param value ratio of the medians
/// @param low lower end; NaN where one of them has fewer than two forks
/// @param high upper end; NaN like `low`
public record Ratio(double value, double low, double high) {

  /// Compares two curves at one length.
  ///
  /// @param numerator curve that is divided
  /// @param denominator curve it is divided by
  /// @param n a length both were measured at
  /// @throws IllegalArgumentException if one of them was not measured at `n`
  public static Ratio of(Curve numerator, Curve denominator, int n) {
    return of(at(numerator, n), at(denominator, n));
  }

  /// Compares two samples.
  static Ratio of(Sample numerator, Sample denominator) {
    return of(numerator.median() / denominator.median(), Logs.of(numerator), Logs.of(denominator));
  }

  /// A value with the interval that logarithms of independent processes give.
  static Ratio of(double value, double[] numerator, double[] denominator) {
    if (numerator.length < 2 || denominator.length < 2) {
      return new Ratio(value, Double.NaN, Double.NaN);
    }
    Welch welch = Welch.of(numerator, denominator);
    return around(value, welch.difference(), welch.half());
  }

  /// Ratio of two quantities that belong together pairwise (one seed, one input): the geometric
  /// mean over the pairs, with Student's t on the logarithms of the pairs' ratios.
  ///
  /// @param numerator values above zero
  /// @param denominator as many values above zero
  static Ratio paired(double[] numerator, double[] denominator) {
    double[] logs = new double[numerator.length];
    for (int i = 0; i < logs.length; i++) {
      logs[i] = Math.log(numerator[i]) - Math.log(denominator[i]);
    }
    double mean = Student.mean(logs);
    return around(Math.exp(mean), mean, Student.half(logs));
  }

  /// A counted quantity, which has no noise.
  static Ratio exact(double value) {
    return new Ratio(value, value, value);
  }

  private static Ratio around(double value, double centre, double half) {
    return new Ratio(
        value, Math.min(value, Math.exp(centre - half)), Math.max(value, Math.exp(centre + half)));
  }

  /// Whether there is an interval.
  public boolean hasInterval() {
    return !Double.isNaN(low);
  }

  /// Whether the whole interval lies above a value; false without an interval.
  public boolean above(double bound) {
    return low > bound;
  }

  /// Whether the whole interval lies below a value; false without an interval.
  public boolean below(double bound) {
    return high < bound;
  }

  /// For example `4.21 (3.95–4.63)`, only the value where the interval has no width; the value and
  /// `(no interval)` without one.
  public String words() {
    return words(1);
  }

  /// As [#words()], with as many digits as it takes to see on which side of each limit the value
  /// and the ends of the interval lie.
  public String words(double... limits) {
    String text = Wording.digits(value, limits);
    if (!hasInterval()) {
      return text + " (no interval)";
    }
    return low == high
        ? text
        : text + " (" + Wording.digits(low, limits) + "–" + Wording.digits(high, limits) + ")";
  }

  private static Sample at(Curve curve, int n) {
    return curve.samples().stream()
        .filter(sample -> sample.n() == n)
        .findFirst()
        .orElseThrow(
            () ->
                new IllegalArgumentException(
                    "n must be a length of " + curve.label() + ", but was " + n));
  }
}
