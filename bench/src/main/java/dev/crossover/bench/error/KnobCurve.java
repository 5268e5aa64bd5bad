// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.bench.result.Student;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Function;
import org.apache.commons.math3.stat.regression.SimpleRegression;

/// Error of a mechanism against the parameter that trades it for work.
///
/// @param label what readers call it
/// @param spec the mechanism without the parameter
/// @param parameter the parameter's name, for example `num_features`
/// @param points one per value, in order
public record KnobCurve(String label, String spec, String parameter, List<Point> points) {

  /// The error at one value.
  ///
  /// @param value the parameter
  /// @param error relative Frobenius error of the output over seeds, geometric mean
  /// @param seeds the error of each seed
  public record Point(int value, Spread error, List<Double> seeds) {}

  /// Slope of ln error over ln value, by regression over the upper half of the values.
  ///
  /// @param exponent the slope, mean over the seeds
  /// @param low lower end of its 95 % interval, Student's t over the seeds' slopes; NaN for one
  ///     seed
  /// @param high upper end; NaN like `low`
  public record Slope(double exponent, double low, double high) {}

  /// Computes a curve.
  ///
  /// Values the mechanism refuses on these sizes are left out; so are all when it cannot honour the
  /// mask.
  ///
  /// @throws IllegalArgumentException if the spec or parameter is not valid
  public static KnobCurve of(ErrorProblem problem, KnobGrid grid) {
    return of(problem, grid, new ProblemErrors(problem)::of);
  }

  /// The curve of errors that are known.
  ///
  /// @param errors the relative Frobenius error of a spec; empty where it is refused
  /// @throws IllegalArgumentException if the spec or parameter is not valid
  public static KnobCurve of(
      ErrorProblem problem, KnobGrid grid, Function<String, OptionalDouble> errors) {
    List<Point> points = new ArrayList<>();
    for (int value : grid.values()) {
      List<Double> found = new ArrayList<>();
      for (String spec : grid.specs(problem, value)) {
        errors.apply(spec).ifPresent(found::add);
      }
      if (!found.isEmpty()) {
        points.add(new Point(value, Spread.geometric(found), List.copyOf(found)));
      }
    }
    return new KnobCurve(grid.label(), grid.spec(), grid.parameter(), List.copyOf(points));
  }

  /// The slope of the upper half of the values where there are at least three with an error; the
  /// upper half, because errors near 1 at small values fall slower than their rate.
  public Optional<Slope> slope() {
    List<Point> inexact = points.stream().filter(p -> p.error().mean() > 1e-6).toList();
    int count = Math.max(3, (inexact.size() + 1) / 2);
    if (inexact.size() < count) {
      return Optional.empty();
    }
    List<Point> upper = inexact.subList(inexact.size() - count, inexact.size());
    int seeds = upper.stream().mapToInt(point -> point.seeds().size()).min().orElse(0);
    double[] slopes = new double[seeds];
    for (int seed = 0; seed < seeds; seed++) {
      SimpleRegression line = new SimpleRegression();
      for (Point point : upper) {
        line.addData(Math.log(point.value()), Math.log(point.seeds().get(seed)));
      }
      slopes[seed] = line.getSlope();
    }
    double mean = Student.mean(slopes);
    double half = Student.half(slopes);
    return Optional.of(new Slope(mean, mean - half, mean + half));
  }

  /// The number of values at which both curves have an error, and of those the number at which this
  /// one's mean is smaller.
  public int[] below(KnobCurve other) {
    int both = 0;
    int smaller = 0;
    for (Point point : points) {
      for (Point theirs : other.points) {
        if (theirs.value() == point.value()) {
          both++;
          smaller += point.error().mean() < theirs.error().mean() ? 1 : 0;
        }
      }
    }
    return new int[] {smaller, both};
  }
}
