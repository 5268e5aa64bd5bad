// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.Arrays;

/// Order statistics on small arrays.
final class Statistics {
  private Statistics() {}

  /// Median of at least one value; the argument is left as it is.
  static double median(double[] values) {
    double[] sorted = values.clone();
    Arrays.sort(sorted);
    int middle = sorted.length / 2;
    return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
  }

  /// Quantile of a sorted array by the nearest rank, so that infinite entries stay what they are.
  ///
  /// @param sorted ascending values, at least one
  /// @param share between 0 and 1
  static double quantile(double[] sorted, double share) {
    int rank = (int) Math.ceil(share * sorted.length) - 1;
    return sorted[Math.clamp(rank, 0, sorted.length - 1)];
  }
}
