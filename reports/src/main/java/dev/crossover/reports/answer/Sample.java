// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.List;

/// One length of a curve: one positive value per fork.
///
/// @param n sequence length, at least 1
/// @param forks one finite value above zero per fork (seconds, bytes …), at least one
public record Sample(int n, List<Double> forks) {
  /// Validates the values.
  ///
  /// @throws IllegalArgumentException if `n` is below 1, no value is given, or one is not above
  ///     zero
  public Sample {
    if (n < 1) {
      throw new IllegalArgumentException("n must be >= 1, but was " + n);
    }
    if (forks.isEmpty()) {
      throw new IllegalArgumentException("forks must hold at least one value, but was empty");
    }
    for (double value : forks) {
      if (!(value > 0 && value < Double.POSITIVE_INFINITY)) {
        throw new IllegalArgumentException(
            "forks must be finite and > 0, but held " + value + " at n = " + n);
      }
    }
    forks = List.copyOf(forks);
  }

  /// Median over the forks.
  public double median() {
    return Statistics.median(forks.stream().mapToDouble(Double::doubleValue).toArray());
  }

  /// Spread between forks, (largest − smallest) / median; zero for one fork.
  public double spread() {
    double least = Double.POSITIVE_INFINITY;
    double most = Double.NEGATIVE_INFINITY;
    for (double value : forks) {
      least = Math.min(least, value);
      most = Math.max(most, value);
    }
    return (most - least) / median();
  }
}
