package dev.crossover.reports.answer;

import java.util.List;
import java.util.Optional;
import org.apache.commons.math3.stat.regression.SimpleRegression;

/// How a quantity grows: `quantity ≈ factor · n^exponent` over the asymptotic part of a curve.
///
/// Least squares of ln(median) on ln(n). The asymptotic part is the longest run of largest lengths,
/// at least three, in which every local slope (between neighbouring lengths) lies within
/// [#TOLERANCE] of the median local slope of that run; where not even the three largest lengths
/// agree, they are used and the fit is marked as not settled.
///
/// @param exponent the slope
/// @param low lower end of its 95 % confidence interval (Student's t over the lengths used)
/// @param high upper end
/// @param logFactor ln(factor)
/// @param from smallest length used
/// @param to largest length used
/// @param lengths number of lengths used
/// @param settled whether local slopes agreed
public record ScalingFit(
    double exponent,
    double low,
    double high,
    double logFactor,
    int from,
    int to,
    int lengths,
    boolean settled) {

  /// Largest deviation of a local slope from the median one inside the asymptotic part.
  public static final double TOLERANCE = 0.2;

  /// The rule in words, for reports.
  public static final String RULE =
      "least squares of log(median) on log(n) over the longest run of largest lengths, at least"
          + " three, whose local slopes all lie within 0.2 of their median; 95 % interval by"
          + " Student's t over those lengths";

  private static final int LEAST_LENGTHS = 3;
  private static final double SIGNIFICANCE = 0.05;

  /// What a fit says about a theoretical exponent.
  public enum Agreement {
    /// The interval holds the theoretical exponent.
    AGREES,
    /// The whole interval lies below it.
    BELOW,
    /// The whole interval lies above it.
    ABOVE,
    /// The interval is wider than ±0.5 and says nothing.
    UNDECIDED
  }

  /// Fits a curve.
  ///
  /// @return nothing for fewer than three lengths
  public static Optional<ScalingFit> of(Curve curve) {
    List<Sample> samples = curve.samples();
    if (samples.size() < LEAST_LENGTHS) {
      return Optional.empty();
    }
    int first = samples.size() - LEAST_LENGTHS;
    boolean settled = agree(samples, first);
    for (int candidate = first - 1; candidate >= 0 && settled; candidate--) {
      if (agree(samples, candidate)) {
        first = candidate;
      }
    }
    SimpleRegression regression = new SimpleRegression();
    for (Sample sample : samples.subList(first, samples.size())) {
      regression.addData(Math.log(sample.n()), Math.log(sample.median()));
    }
    double half = regression.getSlopeConfidenceInterval(SIGNIFICANCE);
    double slope = regression.getSlope();
    return Optional.of(
        new ScalingFit(
            slope,
            slope - half,
            slope + half,
            regression.getIntercept(),
            samples.get(first).n(),
            curve.largest(),
            samples.size() - first,
            settled));
  }

  /// The fitted quantity at a length.
  public double at(double n) {
    return Math.exp(logFactor + exponent * Math.log(n));
  }

  /// Compares with a theoretical exponent.
  public Agreement against(double theory) {
    if (!(high - low <= 1)) {
      return Agreement.UNDECIDED;
    }
    if (theory < low) {
      return Agreement.ABOVE;
    }
    return theory > high ? Agreement.BELOW : Agreement.AGREES;
  }

  private static boolean agree(List<Sample> samples, int first) {
    double[] slopes = new double[samples.size() - first - 1];
    for (int i = 0; i < slopes.length; i++) {
      Sample left = samples.get(first + i);
      Sample right = samples.get(first + i + 1);
      slopes[i] =
          Math.log(right.median() / left.median()) / Math.log((double) right.n() / left.n());
    }
    double centre = Statistics.median(slopes);
    for (double slope : slopes) {
      if (!(Math.abs(slope - centre) <= TOLERANCE)) {
        return false;
      }
    }
    return true;
  }
}
