// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import org.apache.commons.math3.linear.MatrixUtils;
import org.apache.commons.math3.linear.RealMatrix;
import org.apache.commons.math3.linear.SingularValueDecomposition;

/// Effective attention (Brunner et al., ICLR 2020, arXiv:1908.04211): the weights of least norm
/// with the same outputs, `A v v⁺`.
///
/// With more tokens than a value is wide, weights are not determined by outputs: anything in the
/// left null space of v may be added to a row. Rows need not be positive nor sum to 1, and those of
/// causal attention may look ahead. Two mechanisms with equal effective weights have equal outputs.
public final class EffectiveAttention {
  /// Singular values below this share of the largest count as zero.
  private static final double SMALLEST = 1e-10;

  private EffectiveAttention() {}

  /// The effective weights.
  ///
  /// @param weights `[nq][nk]`
  /// @param values `[nk][dv]`
  public static double[][] of(double[][] weights, double[][] values) {
    if (values.length == 0 || values[0].length == 0) {
      return new double[weights.length][values.length];
    }
    SingularValueDecomposition svd =
        new SingularValueDecomposition(MatrixUtils.createRealMatrix(values));
    double[] singular = svd.getSingularValues();
    int rank = 0;
    while (rank < singular.length && singular[rank] > SMALLEST * singular[0]) {
      rank++;
    }
    if (rank == 0 || weights.length == 0) {
      return new double[weights.length][values.length];
    }
    RealMatrix basis = svd.getU().getSubMatrix(0, values.length - 1, 0, rank - 1);
    return MatrixUtils.createRealMatrix(weights)
        .multiply(basis)
        .multiply(basis.transpose())
        .getData();
  }
}
