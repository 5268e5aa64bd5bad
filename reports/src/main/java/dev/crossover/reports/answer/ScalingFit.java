// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.Student;
import java.util.List;
import java.util.Optional;

/// How a quantity grows: `quantity ≈ factor · n^exponent` over a stated range of lengths, the upper
/// half of those measured, at least three.
///
/// The exponent is the least-squares slope of ln(median) on ln(n). The slope is formed within each
/// fork, and Student's t over the forks' slopes gives its interval, widened where necessary to hold
/// the slope of the medians: it says how well the mean growth over that range is known, and nothing
/// about growth elsewhere. Local slopes, between neighbouring lengths, say whether the range has
/// one exponent at all: a curve bends where they change from the range's first to its last by more
/// than [#BEND], for certain where there is noise.
///
/// @param exponent the slope over the range
/// @param low lower end of its 95 % interval; NaN with a single fork, which has none
/// @param high upper end; NaN like `low`
/// @param logFactor ln(factor)
/// @param from smallest length used
/// @param to largest length used
/// @param lengths number of lengths used
/// @param least smallest local slope in the range
/// @param most largest local slope in the range
/// @param bends whether the local slopes change along the range
public record ScalingFit(
    double exponent,
    double low,
    double high,
    double logFactor,
    int from,
    int to,
    int lengths,
    double least,
    double most,
    boolean bends) {

  /// Change of the local slope along the range up to which a line counts as straight.
  public static final double BEND = 0.1;

  /// Distance from a theoretical exponent up to which a measured one agrees.
  public static final double TOLERANCE = 0.1;

  /// The rule in words, for reports.
  public static final String RULE =
      "least squares of log(median) on log(n) over the upper half of the lengths, at least three;"
          + " 95 % interval by Student's t over the slopes of the forks; a curve bends where its"
          + " local slopes change by more than 0.1 along that range, and then has no exponent, only"
          + " local slopes from the smallest to the largest";

  private static final int LEAST_LENGTHS = 3;

  /// What a fit says about a theoretical exponent.
  public enum Agreement {
    /// The interval comes within [#TOLERANCE] of the theoretical exponent.
    AGREES,
    /// The whole interval and every local slope lie below it.
    BELOW,
    /// The whole interval and every local slope lie above it.
    ABOVE,
    /// The curve bends, so that it has no exponent to compare.
    BENDS,
    /// There is no interval, or one too wide, or local slopes lie on both sides.
    UNDECIDED
  }

  /// Fits a measured curve.
  ///
  /// @return nothing for fewer than three lengths
  public static Optional<ScalingFit> of(Curve curve) {
    return of(curve, false);
  }

  /// Fits a counted quantity, which has no noise: its interval has no width.
  ///
  /// @return nothing for fewer than three lengths
  public static Optional<ScalingFit> counted(Curve curve) {
    return of(curve, true);
  }

  private static Optional<ScalingFit> of(Curve curve, boolean counted) {
    int all = curve.samples().size();
    if (all < LEAST_LENGTHS) {
      return Optional.empty();
    }
    int lengths = Math.max(LEAST_LENGTHS, (all + 1) / 2);
    List<Sample> samples = curve.samples().subList(all - lengths, all);
    double[] weights = weights(samples);
    double[] medians = samples.stream().mapToDouble(s -> Math.log(s.median())).toArray();
    double slope = 0;
    double meanLog = 0;
    double meanLength = 0;
    for (int i = 0; i < lengths; i++) {
      slope += weights[i] * medians[i];
      meanLog += medians[i] / lengths;
      meanLength += Math.log(samples.get(i).n()) / lengths;
    }
    double[] local = localSlopes(samples, medians);
    double least = Double.POSITIVE_INFINITY;
    double most = Double.NEGATIVE_INFINITY;
    for (double one : local) {
      least = Math.min(least, one);
      most = Math.max(most, one);
    }
    double[][] logs = Logs.of(samples);
    double[] slopes = Logs.sum(logs, weights);
    double mean = Student.mean(slopes);
    double half = counted ? 0 : Student.half(slopes);
    return Optional.of(
        new ScalingFit(
            slope,
            Math.min(slope, mean - half),
            Math.max(slope, mean + half),
            meanLog - slope * meanLength,
            samples.getFirst().n(),
            samples.getLast().n(),
            lengths,
            least,
            most,
            bends(local, counted, Logs.sum(logs, changeWeights(samples)))));
  }

  /// The quantity at a length, by the fitted power.
  public double at(double n) {
    return Math.exp(logFactor + exponent * Math.log(n));
  }

  /// Whether there is an interval.
  public boolean hasInterval() {
    return !Double.isNaN(low);
  }

  /// Compares with a theoretical exponent.
  public Agreement against(double theory) {
    if (bends) {
      return Agreement.BENDS;
    }
    if (!(high - low <= 1)) {
      return Agreement.UNDECIDED;
    }
    if (low <= theory + TOLERANCE && high >= theory - TOLERANCE) {
      return Agreement.AGREES;
    }
    if (theory < Math.min(low, least)) {
      return Agreement.ABOVE;
    }
    return theory > Math.max(high, most) ? Agreement.BELOW : Agreement.UNDECIDED;
  }

  private static boolean bends(double[] local, boolean counted, double[] changes) {
    double change = local[local.length - 1] - local[0];
    if (counted) {
      return Math.abs(change) > BEND;
    }
    // without an interval nothing is certain: NaN compares as false
    return Math.abs(Student.mean(changes)) - Student.half(changes) > BEND;
  }

  /// Weights of the logarithms whose sum is the least-squares slope.
  private static double[] weights(List<Sample> samples) {
    double[] weights = samples.stream().mapToDouble(s -> Math.log(s.n())).toArray();
    double mean = Student.mean(weights);
    double squares = 0;
    for (int i = 0; i < weights.length; i++) {
      weights[i] -= mean;
      squares += weights[i] * weights[i];
    }
    for (int i = 0; i < weights.length; i++) {
      weights[i] /= squares;
    }
    return weights;
  }

  /// Weights of the logarithms whose sum is the last local slope minus the first.
  private static double[] changeWeights(List<Sample> samples) {
    int last = samples.size() - 1;
    double[] weights = new double[samples.size()];
    double first = distance(samples, 0);
    weights[0] += 1 / first;
    weights[1] -= 1 / first;
    weights[last] += 1 / distance(samples, last - 1);
    weights[last - 1] -= 1 / distance(samples, last - 1);
    return weights;
  }

  private static double[] localSlopes(List<Sample> samples, double[] logs) {
    double[] slopes = new double[samples.size() - 1];
    for (int i = 0; i < slopes.length; i++) {
      slopes[i] = (logs[i + 1] - logs[i]) / distance(samples, i);
    }
    return slopes;
  }

  private static double distance(List<Sample> samples, int left) {
    return Math.log((double) samples.get(left + 1).n() / samples.get(left).n());
  }
}
