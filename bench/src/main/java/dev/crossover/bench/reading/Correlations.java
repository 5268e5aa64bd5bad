// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.math3.linear.MatrixUtils;
import org.apache.commons.math3.linear.SingularValueDecomposition;

/// Covariance and correlation of tokens read from attention rows (Rohekar et al.,
/// arXiv:2310.20307): `C = A Aᵀ`, `R_ij = C_ij / √(C_ii C_jj)`.
///
/// Nothing is centred, so that R is the cosine of two rows. Leaving a token out means leaving out
/// its row; its column stays.
public final class Correlations {
  /// Rows closer than this to a correlation of one count as equal.
  static final double EQUAL = 1e-12;

  private Correlations() {}

  /// `A Aᵀ` of rows of equal length.
  public static double[][] covariance(double[][] rows) {
    int n = rows.length;
    double[][] c = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int j = 0; j <= i; j++) {
        double sum = 0;
        for (int k = 0; k < rows[i].length; k++) {
          sum += rows[i][k] * rows[j][k];
        }
        c[i][j] = sum;
        c[j][i] = sum;
      }
    }
    return c;
  }

  /// The correlations of rows of equal length; 1 on the diagonal up to rounding.
  ///
  /// @throws IllegalArgumentException if a row is zero, by its number
  public static double[][] of(double[][] rows) {
    double[][] r = covariance(rows);
    int n = rows.length;
    double[] deviation = new double[n];
    for (int i = 0; i < n; i++) {
      deviation[i] = Math.sqrt(r[i][i]);
      if (!(deviation[i] > 0) || Double.isInfinite(deviation[i])) {
        throw new IllegalArgumentException(
            "attention rows must be finite and not zero, but row "
                + i
                + " has norm "
                + deviation[i]);
      }
    }
    for (int i = 0; i < n; i++) {
      for (int j = 0; j < n; j++) {
        r[i][j] /= deviation[i] * deviation[j];
      }
    }
    return r;
  }

  /// Pairs of tokens whose rows are equal up to a factor: every test of them is degenerate.
  static List<int[]> equalPairs(double[][] correlation) {
    List<int[]> pairs = new ArrayList<>();
    for (int i = 0; i < correlation.length; i++) {
      for (int j = i + 1; j < correlation.length; j++) {
        if (1 - correlation[i][j] < EQUAL) {
          pairs.add(new int[] {i, j});
        }
      }
    }
    return pairs;
  }

  /// Number of singular values of the rows, each scaled to length one, above a share of the
  /// largest.
  public static int rank(double[][] rows, double share) {
    double[][] scaled = new double[rows.length][];
    for (int i = 0; i < rows.length; i++) {
      double norm = 0;
      for (double value : rows[i]) {
        norm += value * value;
      }
      double length = Math.sqrt(norm);
      scaled[i] = Arrays.stream(rows[i]).map(v -> length == 0 ? 0 : v / length).toArray();
    }
    double[] values =
        new SingularValueDecomposition(MatrixUtils.createRealMatrix(scaled)).getSingularValues();
    int rank = 0;
    while (rank < values.length && values[rank] > share * values[0]) {
      rank++;
    }
    return rank;
  }
}
