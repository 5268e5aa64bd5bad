// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.Student;
import java.util.ArrayList;
import java.util.List;

/// The relative error of every head of an output, and how far the sampled rows leave it open.
///
/// A head's squared error is a ratio of sums over rows, ‖O − O*‖² / ‖O*‖². Where only some rows of
/// a head were compared, the ratio of their sums estimates it, with the variance of a ratio
/// estimator for rows drawn without replacement; that rows are drawn from equal parts of the
/// sequence, which narrows it further, is left out. Where all rows were compared, nothing is left
/// open.
///
/// @param squared squared relative error of each head
/// @param variance of each of them
/// @param rows rows of each head that were compared
public record HeadErrors(List<Double> squared, List<Double> variance, int rows) {

  /// Copies the lists.
  public HeadErrors {
    squared = List.copyOf(squared);
    variance = List.copyOf(variance);
  }

  /// A root mean square over heads with its 95 % interval.
  ///
  /// @param error of relative errors; NaN where an output is not finite
  /// @param low lower end
  /// @param high upper end
  public record Interval(double error, double low, double high) {
    /// Whether the whole interval lies within a permitted error.
    public boolean within(double permitted) {
      return high <= permitted;
    }

    /// Whether the interval leaves open on which side of a permitted error the error lies.
    public boolean holds(double permitted) {
      return low <= permitted && permitted < high;
    }
  }

  /// Compares an output with exact rows.
  ///
  /// @param output `[batch, heads, nq, dv]`
  /// @param exact rows of the same problem
  public static HeadErrors of(Tensor output, ExactRows exact) {
    int[] positions = exact.positions();
    int heads = exact.heads();
    int width = exact.width();
    int batch = output.extent(0);
    int count = batch * positions.length;
    double unseen = 1 - (double) positions.length / output.extent(2);
    List<Double> squared = new ArrayList<>();
    List<Double> variance = new ArrayList<>();
    double[] difference = new double[count];
    double[] reference = new double[count];
    for (int h = 0; h < heads; h++) {
      double differences = 0;
      double references = 0;
      for (int i = 0; i < count; i++) {
        int problem = i / positions.length * heads + h;
        int s = i % positions.length;
        int at = (problem * output.extent(2) + positions[s]) * width;
        int exactAt = (problem * positions.length + s) * width;
        difference[i] = 0;
        reference[i] = 0;
        for (int x = 0; x < width; x++) {
          double e = exact.values()[exactAt + x];
          double delta = output.data()[at + x] - e;
          difference[i] += delta * delta;
          reference[i] += e * e;
        }
        differences += difference[i];
        references += reference[i];
      }
      double ratio = differences == 0 ? 0 : differences / references;
      squared.add(ratio);
      variance.add(unseen == 0 ? 0 : unseen * ratioVariance(difference, reference, ratio));
    }
    return new HeadErrors(squared, variance, positions.length);
  }

  /// Variance of a ratio of means: that of the residuals over the square of the lower mean.
  private static double ratioVariance(double[] above, double[] below, double ratio) {
    if (above.length < 2) {
      return Double.POSITIVE_INFINITY;
    }
    double mean = Student.mean(below);
    if (mean == 0) {
      return 0;
    }
    double[] residuals = new double[above.length];
    for (int i = 0; i < above.length; i++) {
      residuals[i] = above[i] - ratio * below[i];
    }
    return Student.variance(residuals) / above.length / (mean * mean);
  }

  /// Relative error of each head.
  public List<Double> errors() {
    return squared.stream().map(Math::sqrt).toList();
  }

  /// The root mean square over some heads.
  ///
  /// @param first the first of them
  /// @param step from one to the next
  /// @return error and interval; of no head at all all three are NaN
  public Interval over(int first, int step) {
    double sum = 0;
    double spread = 0;
    int count = 0;
    for (int h = first; h < squared.size(); h += step) {
      sum += squared.get(h);
      spread += variance.get(h);
      count++;
    }
    if (count == 0) {
      return new Interval(Double.NaN, Double.NaN, Double.NaN);
    }
    double mean = sum / count;
    double half =
        spread == 0 ? 0 : Student.quantile(Math.max(1, rows - 1)) * Math.sqrt(spread) / count;
    return new Interval(
        Math.sqrt(mean), Math.sqrt(Math.max(0, mean - half)), Math.sqrt(mean + half));
  }
}
