// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.ArrayList;
import java.util.List;

/// The length from which one curve lies below a named baseline, with its interval.
///
/// Between two neighbouring measured lengths the logarithm of the ratio is interpolated linearly in
/// log(n); nothing is said outside the lengths both curves were measured at. With several crossings
/// the last one counts. The interval is [CrossingInterval]'s, widened where necessary to hold the
/// crossing of the medians.
///
/// @param kind what happened over the measured lengths
/// @param n the last crossing; NaN unless [Kind#REACHED]
/// @param low lower end of the 95 % interval, zero when it is open below the smallest length; NaN
///     without an interval
/// @param high upper end, infinite when it is open above the largest length; NaN without an
///     interval
/// @param crossings every crossing, ascending, in either direction
/// @param smallest smallest common length, zero without one
/// @param largest largest common length, zero without one
public record Crossover(
    Kind kind,
    double n,
    double low,
    double high,
    List<Double> crossings,
    int smallest,
    int largest) {

  /// Copies the crossings.
  public Crossover {
    crossings = List.copyOf(crossings);
  }

  /// What happened over the common lengths.
  public enum Kind {
    /// The curve lies below the baseline from a crossing to the largest length.
    REACHED,
    /// The curve lies below the baseline at every length: the crossing is below the smallest one.
    BELOW_SMALLEST,
    /// The curve never lies below the baseline.
    NOT_REACHED,
    /// The curve lies below the baseline somewhere, but not at the largest length.
    LOST_AGAIN,
    /// There is no length at which both were measured.
    NO_COMMON_LENGTH
  }

  /// Compares a curve with a baseline; measured quantities, interval over forks.
  ///
  /// @param curve the mechanism
  /// @param baseline the named exact baseline
  public static Crossover of(Curve curve, Curve baseline) {
    Common common = Common.of(curve, baseline);
    double[] ends = CrossingInterval.of(common.curve(), common.baseline());
    return common.crossover(common.logRatios(), ends[0], ends[1]);
  }

  /// Compares counted quantities, which have no noise and so no interval.
  public static Crossover counted(Curve curve, Curve baseline) {
    Common common = Common.of(curve, baseline);
    return common.crossover(common.logRatios(), Double.NaN, Double.NaN);
  }

  /// Whether an interval was computed; there is none for counted quantities and for single forks.
  public boolean hasInterval() {
    return !Double.isNaN(low);
  }

  /// Whether the noise between forks leaves the answer's kind open.
  public boolean doubtful() {
    return switch (kind) {
      case REACHED -> hasInterval() && (low == 0 || Double.isInfinite(high));
      case BELOW_SMALLEST -> hasInterval() && high > 0;
      case NOT_REACHED, LOST_AGAIN -> hasInterval() && !Double.isInfinite(low);
      case NO_COMMON_LENGTH -> false;
    };
  }

  /// The lengths two curves share.
  ///
  /// @param curve samples of the mechanism
  /// @param baseline samples of the baseline at the same lengths
  record Common(List<Sample> curve, List<Sample> baseline) {
    static Common of(Curve curve, Curve baseline) {
      List<Sample> left = new ArrayList<>();
      List<Sample> right = new ArrayList<>();
      for (Sample sample : curve.samples()) {
        for (Sample other : baseline.samples()) {
          if (other.n() == sample.n()) {
            left.add(sample);
            right.add(other);
          }
        }
      }
      return new Common(left, right);
    }

    double[] logRatios() {
      double[] ratios = new double[curve.size()];
      for (int i = 0; i < ratios.length; i++) {
        ratios[i] = Math.log(curve.get(i).median()) - Math.log(baseline.get(i).median());
      }
      return ratios;
    }

    Crossover crossover(double[] logRatios, double low, double high) {
      if (logRatios.length == 0) {
        return new Crossover(
            Kind.NO_COMMON_LENGTH, Double.NaN, Double.NaN, Double.NaN, List.of(), 0, 0);
      }
      List<Double> crossings = crossings(logRatios);
      boolean cheaperAtLast = logRatios[logRatios.length - 1] < 0;
      Kind kind;
      double n;
      if (cheaperAtLast) {
        kind = crossings.isEmpty() ? Kind.BELOW_SMALLEST : Kind.REACHED;
        n = crossings.isEmpty() ? 0 : crossings.getLast();
      } else {
        kind = crossings.isEmpty() ? Kind.NOT_REACHED : Kind.LOST_AGAIN;
        n = Double.POSITIVE_INFINITY;
      }
      return new Crossover(
          kind,
          kind == Kind.REACHED ? n : Double.NaN,
          Math.min(low, n),
          Math.max(high, n),
          crossings,
          curve.getFirst().n(),
          curve.getLast().n());
    }

    private List<Double> crossings(double[] logRatios) {
      List<Double> found = new ArrayList<>();
      for (int i = 0; i + 1 < logRatios.length; i++) {
        if (logRatios[i] < 0 != logRatios[i + 1] < 0) {
          found.add(interpolate(i, logRatios));
        }
      }
      return found;
    }

    private double interpolate(int i, double[] logRatios) {
      double left = Math.log(curve.get(i).n());
      double right = Math.log(curve.get(i + 1).n());
      double share = logRatios[i] / (logRatios[i] - logRatios[i + 1]);
      return Math.exp(left + (right - left) * share);
    }
  }
}
