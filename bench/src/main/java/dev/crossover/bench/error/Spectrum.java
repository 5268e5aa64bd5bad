// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.exact.Tiled;
import java.util.ArrayList;
import java.util.List;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;

/// Singular values of an attention matrix: how close it is to low rank (Wang et al., Linformer,
/// arXiv:2006.04768, figure 1).
///
/// @param input label of the tensors
/// @param head number of the head
/// @param cumulative share of the sum of singular values in the largest i + 1, non-decreasing to 1
/// @param effectiveRank exponential of the entropy of the normalised singular values
public record Spectrum(String input, int head, List<Double> cumulative, double effectiveRank) {

  /// The spectra of a problem's heads, in double precision.
  ///
  /// @param problem of at most 512 positions
  public static List<Spectrum> of(ErrorProblem problem) {
    EffectiveWeights weights =
        EffectiveWeights.exact(
            problem, new Tiled().exactTarget(problem.shape(), problem.mask(), problem.qkv()));
    List<Spectrum> spectra = new ArrayList<>();
    for (int h = 0; h < weights.heads().length; h++) {
      double[][] rows = new double[weights.queries()][weights.keys()];
      for (int i = 0; i < weights.queries(); i++) {
        for (int j = 0; j < weights.keys(); j++) {
          rows[i][j] = weights.heads()[h][i * weights.keys() + j];
        }
      }
      double[] values =
          new SingularValueDecomposition(new Array2DRowRealMatrix(rows, false)).getSingularValues();
      spectra.add(of(problem.input(), h, values));
    }
    return List.copyOf(spectra);
  }

  /// From singular values, largest first.
  static Spectrum of(String input, int head, double[] values) {
    double total = 0;
    for (double value : values) {
      total += value;
    }
    double sum = 0;
    double entropy = 0;
    List<Double> cumulative = new ArrayList<>();
    for (double value : values) {
      sum += value;
      cumulative.add(sum / total);
      entropy -= value > 0 ? value / total * Math.log(value / total) : 0;
    }
    return new Spectrum(input, head, List.copyOf(cumulative), Math.exp(entropy));
  }

  /// Share of the sum in the largest singular values.
  ///
  /// @param count how many, from 1 to their number
  public double share(int count) {
    return cumulative.get(count - 1);
  }

  /// The number of singular values that hold a share of their sum.
  public int holding(double share) {
    for (int i = 0; i < cumulative.size(); i++) {
      if (cumulative.get(i) >= share) {
        return i + 1;
      }
    }
    return cumulative.size();
  }
}
