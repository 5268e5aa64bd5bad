// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.tensor.Tensor;
import org.apache.commons.math3.linear.Array2DRowRealMatrix;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;

/// Effective rank of the score matrix Q Kᵀ: the exponential of the entropy of its normalised
/// singular values (Roy and Vetterli, The effective rank, EUSIPCO 2007).
///
/// ```
/// erank = exp(−Σ p_i ln p_i),   p_i = σ_i / Σ σ
/// ```
///
/// The n × n matrix is never built: Q Kᵀ has the singular values of the d × d matrix
/// (QᵀQ)^½ (KᵀK)^½. No mask enters. Of long sequences 4096 evenly spaced positions are taken, of
/// many heads up to four, of wide ones
/// one; above the width 192 the number is not given. That takes half a second at most.
final class ScoreRank {
  private static final int MOST_POSITIONS = 4096;
  private static final int MOST_HEADS = 4;
  private static final int MOST_WIDTH = 192;

  private ScoreRank() {}

  /// The mean over heads of the first batch entry; NaN where it would take too long or is
  /// undefined, as for scores that are all zero or not finite.
  static double of(ExactTarget target) {
    var shape = target.shape();
    int d = shape.headDim();
    if (d > MOST_WIDTH || shape.batchSize() == 0) {
      return Double.NaN;
    }
    int heads = Math.min(d > 64 ? 1 : MOST_HEADS, shape.numHeads());
    double sum = 0;
    for (int t = 0; t < heads; t++) {
      int h = (int) ((long) t * shape.numHeads() / heads);
      RealMatrix q = gram(target.query(), shape.queryOffset(0, h), shape.querySeqLen(), d);
      RealMatrix k = gram(target.key(), shape.keyOffset(0, h), shape.keySeqLen(), d);
      sum += effectiveRank(q, k);
    }
    return sum / heads;
  }

  private static double effectiveRank(RealMatrix queries, RealMatrix keys) {
    if (!Double.isFinite(queries.getFrobeniusNorm() * keys.getFrobeniusNorm())) {
      return Double.NaN;
    }
    RealMatrix product = root(queries).multiply(root(keys).transpose());
    return effectiveRank(new SingularValueDecomposition(product).getSingularValues());
  }

  /// R = Σ^½ Vᵀ with RᵀR = X. By singular values: the library's eigenvalue iteration gives up on
  /// matrices of low rank.
  private static RealMatrix root(RealMatrix gram) {
    SingularValueDecomposition parts = new SingularValueDecomposition(gram);
    RealMatrix root = parts.getVT();
    double[] values = parts.getSingularValues();
    for (int a = 0; a < values.length; a++) {
      root.setRowVector(a, root.getRowVector(a).mapMultiply(Math.sqrt(values[a])));
    }
    return root;
  }

  /// The exponential of the entropy of normalised singular values.
  static double effectiveRank(double[] values) {
    double total = 0;
    for (double value : values) {
      total += value;
    }
    double entropy = 0;
    for (double value : values) {
      double p = value / total;
      entropy -= p > 0 ? p * Math.log(p) : 0;
    }
    return total > 0 ? Math.exp(entropy) : Double.NaN;
  }

  /// XᵀX over evenly spaced rows.
  private static RealMatrix gram(Tensor x, int offset, int n, int d) {
    double[][] gram = new double[d][d];
    int rows = Math.min(n, MOST_POSITIONS);
    for (int s = 0; s < rows; s++) {
      int at = offset + (int) ((2L * s + 1) * n / (2L * rows)) * d;
      for (int a = 0; a < d; a++) {
        double element = x.data()[at + a];
        double[] row = gram[a];
        for (int b = a; b < d; b++) {
          row[b] += element * x.data()[at + b];
        }
      }
    }
    for (int a = 0; a < d; a++) {
      for (int b = 0; b < a; b++) {
        gram[a][b] = gram[b][a];
      }
    }
    return new Array2DRowRealMatrix(gram, false);
  }
}
