// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import java.util.Arrays;
import java.util.List;

/// Median of samples grouped by fork, with a 95 % interval over the forks.
///
/// Samples of one JVM share its compilation and memory layout, so forks are what varies: the
/// statistic is the median of the forks' medians. The interval is Student's t on the logarithms of
/// the forks' medians, widened where necessary to hold the median. Resampling three or four forks
/// instead covers the truth in 76 to 91 of 100 cases only; the coverage of this interval is
/// simulated in the tests of the reports.
///
/// @param median median of the forks' medians
/// @param low lower end of the interval; NaN with a single fork, which has none
/// @param high upper end; NaN like `low`
public record SampleStatistics(double median, double low, double high) {

  /// Statistics of samples, one list per fork, none of them empty.
  ///
  /// @param samples at least one fork with at least one sample, all above zero
  /// @throws IllegalArgumentException if there is no sample, or one is not above zero
  public static SampleStatistics of(List<List<Double>> samples) {
    double[] medians =
        samples.stream()
            .filter(fork -> !fork.isEmpty())
            .mapToDouble(fork -> median(fork.stream().mapToDouble(Double::doubleValue).toArray()))
            .toArray();
    if (medians.length == 0) {
      throw new IllegalArgumentException("samples must not be empty, but were " + samples);
    }
    double[] logs = new double[medians.length];
    for (int i = 0; i < logs.length; i++) {
      if (!(medians[i] > 0)) {
        throw new IllegalArgumentException("samples must be > 0, but were " + samples);
      }
      logs[i] = Math.log(medians[i]);
    }
    double median = median(medians);
    if (logs.length == 1) {
      return new SampleStatistics(median, Double.NaN, Double.NaN);
    }
    double mean = Student.mean(logs);
    double half = Student.half(logs);
    return new SampleStatistics(
        median, Math.min(median, Math.exp(mean - half)), Math.max(median, Math.exp(mean + half)));
  }

  /// Whether there is an interval.
  public boolean hasInterval() {
    return !Double.isNaN(low);
  }

  /// Median of the values; sorts them.
  private static double median(double[] values) {
    Arrays.sort(values);
    int half = values.length / 2;
    return values.length % 2 == 1 ? values[half] : (values[half - 1] + values[half]) / 2;
  }
}
