// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.Student;
import org.apache.commons.math3.special.Beta;

/// Difference between the means of two samples of independent values whose variances may differ
/// (Welch, "The generalization of Student's problem", Biometrika 34, 1947).
///
/// @param difference mean of the first minus mean of the second
/// @param error standard error of the difference; zero when neither sample varies
/// @param dof degrees of freedom by Welch and Satterthwaite
record Welch(double difference, double error, double dof) {
  /// Differences of logarithms below this are rounding.
  private static final double ROUNDING = 1e-13;

  /// Compares two samples of at least two values each.
  static Welch of(double[] first, double[] second) {
    double a = Student.variance(first) / first.length;
    double b = Student.variance(second) / second.length;
    double sum = a + b;
    double dof =
        sum == 0
            ? first.length + second.length - 2.0
            : sum * sum / (a * a / (first.length - 1) + b * b / (second.length - 1));
    return new Welch(Student.mean(first) - Student.mean(second), Math.sqrt(sum), dof);
  }

  /// Half the 95 % interval of the difference.
  double half() {
    return error == 0 ? 0 : error * Student.quantile(dof);
  }

  /// Whether the difference lies below zero, at a one-sided level of at most 0.025.
  boolean below(double level) {
    if (!(difference < -ROUNDING)) {
      return false;
    }
    if (error == 0) {
      return true;
    }
    double t = difference / error;
    // no Student's t has lighter tails than the normal distribution, whose 2.5 % point is −1.96
    return t < -1.9599 && tail(t) < level;
  }

  /// Whether the difference lies above zero, at a one-sided level of at most 0.025.
  boolean above(double level) {
    return new Welch(-difference, error, dof).below(level);
  }

  /// Probability of a value as far out on its side as t.
  private double tail(double t) {
    return 0.5 * Beta.regularizedBeta(dof / (dof + t * t), 0.5 * dof, 0.5);
  }
}
