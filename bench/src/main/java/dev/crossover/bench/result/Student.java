// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import java.util.concurrent.ConcurrentHashMap;
import org.apache.commons.math3.distribution.TDistribution;

/// Student's t: what few values say about the mean that they scatter around.
public final class Student {
  /// Probability that an interval misses on one side.
  private static final double TAIL = 0.025;

  private static final int KEPT = 100;
  private static final ConcurrentHashMap<Integer, Double> QUANTILES = new ConcurrentHashMap<>();

  private Student() {}

  /// The 97.5 % point of the distribution: half a 95 % interval in standard errors.
  ///
  /// @param dof degrees of freedom, above 0, not necessarily whole
  public static double quantile(double dof) {
    boolean kept = dof == Math.rint(dof) && dof <= KEPT;
    return kept ? QUANTILES.computeIfAbsent((int) dof, Student::computed) : computed(dof);
  }

  /// Half the 95 % interval of the mean of independent values; NaN for fewer than two.
  public static double half(double[] values) {
    if (values.length < 2) {
      return Double.NaN;
    }
    return quantile(values.length - 1) * Math.sqrt(variance(values) / values.length);
  }

  /// Mean of at least one value.
  public static double mean(double[] values) {
    double sum = 0;
    for (double value : values) {
      sum += value;
    }
    return sum / values.length;
  }

  /// Unbiased variance of at least two values.
  public static double variance(double[] values) {
    double mean = mean(values);
    double squares = 0;
    for (double value : values) {
      squares += (value - mean) * (value - mean);
    }
    return squares / (values.length - 1);
  }

  private static double computed(double dof) {
    return new TDistribution(dof).inverseCumulativeProbability(1 - TAIL);
  }
}
