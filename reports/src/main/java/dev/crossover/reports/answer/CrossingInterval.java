// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.List;
import java.util.function.DoublePredicate;

/// The 95 % interval of the length from which one curve lies below another.
///
/// A test turned around, as Fieller's interval of a ratio is: a length belongs to the interval when
/// Welch's t on the logarithms of the forks' values, interpolated to that length within each fork,
/// does not find the curves different there. Since nothing is assumed about how forks of different
/// lengths hang together, forks that are slow at every length do not make it too narrow.
///
/// The upper end is the last length at which the curve is not certainly below. The lower end is the
/// first at which it is not certainly above, counted from the last measured length at which it is
/// above beyond doubt (p below 0.0005), so that an earlier crossing does not count. An end that
/// lies beyond the measured lengths is open: zero below, infinite above.
final class CrossingInterval {
  /// One-sided level of either end.
  private static final double LEVEL = 0.025;

  /// One-sided level of what is beyond doubt: small, because every length is asked.
  private static final double SURE = 0.0005;

  /// Steps of the search between two measured lengths.
  private static final int STEPS = 12;

  private static final int HALVINGS = 44;

  private final double[][] curve;
  private final double[][] baseline;
  private final int last;

  private CrossingInterval(List<Sample> curve, List<Sample> baseline) {
    this.curve = Logs.of(curve);
    this.baseline = Logs.of(baseline);
    last = curve.size() - 1;
  }

  /// The ends as lengths; nothing known (NaN) where a length has fewer than two forks.
  ///
  /// @param curve samples of the mechanism, ascending lengths
  /// @param baseline samples of the baseline at the same lengths
  static double[] of(List<Sample> curve, List<Sample> baseline) {
    if (curve.isEmpty() || Logs.forks(curve) < 2 || Logs.forks(baseline) < 2) {
      return new double[] {Double.NaN, Double.NaN};
    }
    CrossingInterval search = new CrossingInterval(curve, baseline);
    return new double[] {length(curve, search.low()), length(curve, search.high())};
  }

  /// Position of the lower end: 0 is the smallest length, 1 the next; −∞ when it is open.
  private double low() {
    double sure = Double.NEGATIVE_INFINITY;
    for (int row = last; row >= 0 && sure < 0; row--) {
      if (at(row).above(SURE)) {
        sure = row;
      }
    }
    if (sure < 0 && !at(0).above(LEVEL)) {
      return Double.NEGATIVE_INFINITY;
    }
    int first = (int) Math.max(0, sure) * STEPS;
    for (int step = first + 1; step <= last * STEPS; step++) {
      if (!at(position(step)).above(LEVEL)) {
        return border(position(step - 1), position(step), x -> at(x).above(LEVEL));
      }
    }
    return Double.POSITIVE_INFINITY;
  }

  /// Position of the upper end; ∞ when it is open, −∞ when the curve is certainly below everywhere.
  private double high() {
    if (!at(last).below(LEVEL)) {
      return Double.POSITIVE_INFINITY;
    }
    for (int step = last * STEPS - 1; step >= 0; step--) {
      if (!at(position(step)).below(LEVEL)) {
        return border(position(step), position(step + 1), x -> !at(x).below(LEVEL));
      }
    }
    return Double.NEGATIVE_INFINITY;
  }

  /// Where a condition that holds on the left ceases to hold.
  private static double border(double left, double right, DoublePredicate holds) {
    double low = left;
    double high = right;
    for (int i = 0; i < HALVINGS; i++) {
      double middle = (low + high) / 2;
      if (holds.test(middle)) {
        low = middle;
      } else {
        high = middle;
      }
    }
    return (low + high) / 2;
  }

  private static double position(int step) {
    return (double) step / STEPS;
  }

  private Welch at(double position) {
    int row = Math.min((int) position, Math.max(0, last - 1));
    double share = position - row;
    return Welch.of(Logs.between(curve, row, share), Logs.between(baseline, row, share));
  }

  private static double length(List<Sample> samples, double position) {
    if (Double.isInfinite(position)) {
      return position < 0 ? 0 : position;
    }
    int row = Math.min((int) position, samples.size() - 2);
    double left = Math.log(samples.get(row).n());
    double right = Math.log(samples.get(row + 1).n());
    return Math.exp(left + (right - left) * (position - row));
  }
}
