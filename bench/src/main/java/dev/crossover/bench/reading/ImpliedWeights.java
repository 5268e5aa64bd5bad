// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.EffectiveWeights;
import dev.crossover.bench.error.ErrorProblem;

/// The weights with which a mechanism mixes values, whether it forms them or not: what it returns
/// for unit vectors as values.
///
/// They may be negative, or rows may not sum to 1; entropy and total variation then mean nothing as
/// such, and [Quality] says so.
public final class ImpliedWeights {
  private ImpliedWeights() {}

  /// How far weights are from a distribution over keys.
  ///
  /// @param least smallest sum of a row
  /// @param largest largest sum of a row
  /// @param negativeMass mean over rows of `Σ |min(w, 0)|`
  public record Quality(double least, double largest, double negativeMass) {
    /// Whether rows are non-negative and sum to 1, up to rounding in float32.
    public boolean distribution() {
      return negativeMass < 1e-6 && Math.abs(least - 1) < 1e-4 && Math.abs(largest - 1) < 1e-4;
    }
  }

  /// The weights of all heads, `[heads][nq][nk]`.
  ///
  /// @throws IllegalArgumentException if they do not give the mechanism's own output: it is not
  ///     linear in its values
  public static double[][][] of(ErrorProblem problem, ErrorProblem.Run run) {
    EffectiveWeights weights = EffectiveWeights.of(problem, run);
    double[][][] all = doubles(weights);
    requireLinear(problem, run, all);
    return all;
  }

  /// The weights of the exact attention that a mechanism approximates.
  public static double[][][] exact(ErrorProblem problem, ErrorProblem.Run run) {
    return doubles(EffectiveWeights.exact(problem, run.target()));
  }

  private static double[][][] doubles(EffectiveWeights weights) {
    int heads = weights.heads().length;
    double[][][] all = new double[heads][weights.queries()][weights.keys()];
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < weights.queries(); i++) {
        for (int j = 0; j < weights.keys(); j++) {
          all[h][i][j] = weights.heads()[h][i * weights.keys() + j];
        }
      }
    }
    return all;
  }

  /// Compares `W v` with the output; in float32 both err by some 10⁻⁵ of the largest value.
  private static void requireLinear(
      ErrorProblem problem, ErrorProblem.Run run, double[][][] weights) {
    Tensor out = problem.output(run);
    float[] v = run.inputs().get("v").data();
    int dv = problem.shape().valueDim();
    double worst = 0;
    double largest = 0;
    for (int h = 0; h < weights.length; h++) {
      int from = problem.shape().valueOffset(0, h);
      for (int i = 0; i < weights[h].length; i++) {
        for (int c = 0; c < dv; c++) {
          double sum = 0;
          for (int j = 0; j < weights[h][i].length; j++) {
            sum += weights[h][i][j] * v[from + j * dv + c];
          }
          double value = out.data()[(h * weights[h].length + i) * dv + c];
          worst = Math.max(worst, Math.abs(sum - value));
          largest = Math.max(largest, Math.abs(value));
        }
      }
    }
    if (!(worst <= 1e-3 * largest)) {
      throw new IllegalArgumentException(
          run.attention().name()
              + " must be linear in its values to have implied weights, but weights times values"
              + " differ from its output by "
              + worst);
    }
  }

  /// Half the sum of absolute differences of each row.
  public static double[] totalVariation(double[][] weights, double[][] exact) {
    double[] variation = new double[weights.length];
    for (int i = 0; i < weights.length; i++) {
      for (int j = 0; j < weights[i].length; j++) {
        variation[i] += Math.abs(weights[i][j] - exact[i][j]) / 2;
      }
    }
    return variation;
  }

  /// Sums and negative mass of rows.
  public static Quality quality(double[][] weights) {
    double least = Double.POSITIVE_INFINITY;
    double largest = Double.NEGATIVE_INFINITY;
    double negative = 0;
    for (double[] row : weights) {
      double sum = 0;
      for (double weight : row) {
        sum += weight;
        negative += Math.max(0, -weight);
      }
      least = Math.min(least, sum);
      largest = Math.max(largest, sum);
    }
    return new Quality(least, largest, negative / Math.max(1, weights.length));
  }
}
