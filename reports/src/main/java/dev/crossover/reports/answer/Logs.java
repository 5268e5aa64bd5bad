// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.Arrays;
import java.util.List;

/// Logarithms of a curve's values, fork by fork.
///
/// Fork f of every length is one process where a sweep measures the lengths of a mechanism
/// together, so what a fork has in common over the lengths stays in: a combination of lengths is
/// formed within each fork first. Where lengths have different numbers of forks, those that both
/// have count.
final class Logs {
  private Logs() {}

  /// One row per length, one value per fork.
  static double[][] of(List<Sample> samples) {
    return samples.stream().map(Logs::of).toArray(double[][]::new);
  }

  /// One value per fork.
  static double[] of(Sample sample) {
    return of(sample.forks().stream().mapToDouble(Double::doubleValue).toArray());
  }

  /// The logarithms of any values.
  static double[] of(double[] values) {
    return Arrays.stream(values).map(Math::log).toArray();
  }

  /// The fewest forks of a length.
  static int forks(List<Sample> samples) {
    return samples.stream().mapToInt(s -> s.forks().size()).min().orElse(0);
  }

  /// The values at a position between a row and the next, interpolated within each fork.
  ///
  /// @param share 0 at the row, 1 at the next
  static double[] between(double[][] logs, int row, double share) {
    if (share == 0) {
      return logs[row];
    }
    double[] left = logs[row];
    double[] right = logs[row + 1];
    double[] values = new double[Math.min(left.length, right.length)];
    for (int fork = 0; fork < values.length; fork++) {
      values[fork] = (1 - share) * left[fork] + share * right[fork];
    }
    return values;
  }

  /// A weighted sum over the rows, within each fork.
  static double[] sum(double[][] logs, double[] weights) {
    int forks = Arrays.stream(logs).mapToInt(row -> row.length).min().orElse(0);
    double[] sums = new double[forks];
    for (int row = 0; row < logs.length; row++) {
      for (int fork = 0; fork < forks; fork++) {
        sums[fork] += weights[row] * logs[row][fork];
      }
    }
    return sums;
  }
}
