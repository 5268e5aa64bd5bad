// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import org.apache.commons.math3.stat.regression.OLSMultipleLinearRegression;
import org.apache.commons.math3.stat.regression.SimpleRegression;

/// What the Comprehensive Attention Benchmark's method would have claimed from the same records.
///
/// Its published script takes the mean of the middle half of the times at each length, fits a
/// parabola to softmax attention over 256 to 8,192 and a straight line to an efficient one over 512
/// to 8,192, both by least squares on the plain times, and calls the larger intersection the
/// efficiency length, rounded to one position. Large lengths decide both fits, although the
/// intersection lies among the small ones; nothing is said about its uncertainty, and an
/// intersection outside the measured lengths is reported like any other. What cannot be replayed
/// on these records: its times were taken on a GPU without waiting for it, of layers in training
/// mode with dropout.
///
/// @param spec the mechanism
/// @param published the benchmark's number
/// @param fitted what its method gives on these records; NaN where the fits do not meet
/// @param interpolated the crossing between two measured lengths, with its interval
public record FittedLines(String spec, int published, double fitted, Crossover interpolated) {
  /// The benchmark's name.
  public static final String BENCHMARK = "Comprehensive Attention Benchmark";

  /// Smallest length of the parabola.
  public static final int FROM = 256;

  /// Largest length of both fits.
  public static final int TO = 8192;

  private static final int LEAST_LENGTHS = 4;
  private static final String FULL = "materialised";

  /// Replays the method for every mechanism that the benchmark has and a panel covers.
  ///
  /// @param claims claims among which the benchmark's are
  /// @param panels panels of any number
  public static List<FittedLines> of(List<Claim> claims, List<Panel> panels) {
    List<FittedLines> replays = new ArrayList<>();
    for (Claim claim : claims) {
      if (claim.paper().equals(BENCHMARK) && claim.rule() instanceof ClaimRules.Crosses rule) {
        ClaimReplay.panel(rule, panels).flatMap(panel -> of(rule, panel)).ifPresent(replays::add);
      }
    }
    return List.copyOf(replays);
  }

  private static Optional<FittedLines> of(ClaimRules.Crosses rule, Panel panel) {
    Optional<Series> full = series(panel, FULL);
    Optional<Series> other = series(panel, rule.spec());
    if (full.isEmpty() || other.isEmpty()) {
      return Optional.empty();
    }
    List<Point> parabola = timed(full.get(), FROM);
    List<Point> line = timed(other.get(), 2 * FROM);
    if (parabola.size() < LEAST_LENGTHS || line.size() < LEAST_LENGTHS - 1) {
      return Optional.empty();
    }
    double fitted = meeting(lengths(parabola), means(parabola), lengths(line), means(line));
    return Optional.of(
        new FittedLines(
            rule.spec(),
            (int) Math.round(rule.n()),
            fitted,
            Crossover.of(other.get().time().orElseThrow(), full.get().time().orElseThrow())));
  }

  /// Whether the fitted number lies outside the interval of the interpolated one.
  public boolean outside() {
    return !(fitted >= interpolated.low() && fitted <= interpolated.high());
  }

  /// The larger intersection of a parabola and a straight line, both by least squares; NaN where
  /// they do not meet.
  static double meeting(double[] n, double[] parabola, double[] m, double[] line) {
    OLSMultipleLinearRegression fit = new OLSMultipleLinearRegression();
    // in units of the largest length, so that powers are of one size
    fit.newSampleData(
        parabola,
        Arrays.stream(n)
            .map(length -> length / TO)
            .mapToObj(x -> new double[] {x, x * x})
            .toArray(double[][]::new));
    double[] coefficients = fit.estimateRegressionParameters();
    SimpleRegression straight = new SimpleRegression();
    for (int i = 0; i < m.length; i++) {
      straight.addData(m[i] / TO, line[i]);
    }
    double a = coefficients[2];
    double b = coefficients[1] - straight.getSlope();
    double c = coefficients[0] - straight.getIntercept();
    return TO * (-b + Math.sqrt(b * b - 4 * a * c)) / (2 * a);
  }

  /// Mean of the middle half of the samples, all forks together.
  static double middleMean(double[] samples) {
    double[] sorted = samples.clone();
    Arrays.sort(sorted);
    double low = midpoint(sorted, 0.25);
    double high = midpoint(sorted, 0.75);
    return Arrays.stream(sorted).filter(s -> s >= low && s <= high).average().orElse(Double.NaN);
  }

  /// A percentile between two values taken as their mean, as the script asks of NumPy.
  private static double midpoint(double[] sorted, double share) {
    double rank = share * (sorted.length - 1);
    return (sorted[(int) Math.floor(rank)] + sorted[(int) Math.ceil(rank)]) / 2;
  }

  private static Optional<Series> series(Panel panel, String spec) {
    return panel.series().stream().filter(s -> s.spec().equals(spec)).findFirst();
  }

  private static List<Point> timed(Series series, int from) {
    return series.points().stream()
        .filter(p -> p.n() >= from && p.n() <= TO && !p.samples().isEmpty())
        .toList();
  }

  private static double[] lengths(List<Point> points) {
    return points.stream().mapToDouble(Point::n).toArray();
  }

  private static double[] means(List<Point> points) {
    return points.stream()
        .mapToDouble(
            p ->
                middleMean(
                    p.samples().stream()
                        .flatMap(List::stream)
                        .mapToDouble(Double::doubleValue)
                        .toArray()))
        .toArray();
  }
}
