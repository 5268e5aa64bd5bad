// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.bench.result.Student;
import java.util.List;

/// A quantity over seeds: its mean with a 95 % interval by Student's t.
///
/// @param mean arithmetic or geometric mean
/// @param low lower end of the interval, at least 0 for quantities that are; the mean for one seed
/// @param high upper end; the mean for one seed
/// @param count number of seeds
public record Spread(double mean, double low, double high, int count) {

  /// The geometric mean with an interval on the logarithms, as fits errors that differ by factors;
  /// the arithmetic one where a value is 0 or not finite.
  ///
  /// @param values of at least 0, one per seed
  /// @throws IllegalArgumentException if there is none
  public static Spread geometric(List<Double> values) {
    boolean plain = values.size() < 2;
    for (double value : values) {
      plain |= !(value > 0 && value < Double.POSITIVE_INFINITY);
    }
    if (plain) {
      return of(values);
    }
    double mean = 0;
    for (double value : values) {
      mean += Math.log(value) / values.size();
    }
    double half = Student.half(values.stream().mapToDouble(Math::log).toArray());
    return new Spread(Math.exp(mean), Math.exp(mean - half), Math.exp(mean + half), values.size());
  }

  /// The arithmetic mean.
  ///
  /// @param values of at least 0, one per seed
  ///
  /// @throws IllegalArgumentException if there is none
  public static Spread of(List<Double> values) {
    int count = values.size();
    if (count == 0) {
      throw new IllegalArgumentException("values must not be empty, but there were none");
    }
    double mean = 0;
    for (double value : values) {
      mean += value / count;
    }
    if (count == 1) {
      return new Spread(mean, mean, mean, 1);
    }
    double half = Student.half(values.stream().mapToDouble(Double::doubleValue).toArray());
    return new Spread(mean, Math.max(0, mean - half), mean + half, count);
  }
}
