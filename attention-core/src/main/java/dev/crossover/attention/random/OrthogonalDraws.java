// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.random;

import dev.crossover.attention.tensor.Tensor;
import org.apache.commons.rng.sampling.distribution.ZigguratSampler;

/// Random feature directions whose rows are orthogonal within blocks: Yu et al., "Orthogonal Random
/// Features", NeurIPS 2016, arXiv:1610.09072; Choromanski et al., arXiv:2009.14794, section 2.4.
///
/// Each block of d rows is Qᵀ of the Householder factorisation A = QR of a standard normal `[d, d]`
/// matrix; the last block is cut short. Q is uniform over the orthogonal group only after each
/// column has been multiplied by the sign of R's diagonal element (Mezzadri,
/// arXiv:math-ph/0609050): the factorisation as numerical libraries do it fixes those signs, so
/// that for example `Q[0,0]` is never positive and the kernel estimate becomes biased.
public final class OrthogonalDraws {

  /// Lengths of the rows.
  public enum Lengths {
    /// Norms of independent standard normal vectors: every row is marginally standard normal.
    REGULAR,
    /// √d for every row.
    SCALED
  }

  private OrthogonalDraws() {}

  /// Draws `[rows, dim]` directions in double precision, rounded at the end.
  ///
  /// @param seed one generator; normal variates row-major, blocks first, then those of the lengths
  /// @param lengths lengths of the rows
  /// @param uniform whether to correct the signs
  /// @param rows number of rows, at least 0
  /// @param dim width, at least 1
  public static Tensor of(long seed, Lengths lengths, boolean uniform, int rows, int dim) {
    ZigguratSampler.NormalizedGaussian gaussian =
        ZigguratSampler.NormalizedGaussian.of(Draws.generator(seed));
    double[] directions = new double[Tensor.sizeOf(rows, dim)];
    double[] columns = new double[rows == 0 ? 0 : Tensor.sizeOf(dim, dim)];
    double[] diagonal = new double[dim];
    for (int first = 0; first < rows; first += dim) {
      factorise(gaussian, dim, columns, diagonal);
      for (int j = 0; j < Math.min(dim, rows - first); j++) {
        double sign = uniform && diagonal[j] < 0 ? -1 : 1;
        column(columns, dim, j, sign, directions, (first + j) * dim);
      }
    }
    Tensor tensor = Tensor.zeros(rows, dim);
    for (int r = 0; r < rows; r++) {
      double length = Math.sqrt(dim);
      if (lengths == Lengths.REGULAR) {
        double squares = 0;
        for (int c = 0; c < dim; c++) {
          double x = gaussian.sample();
          squares += x * x;
        }
        length = Math.sqrt(squares);
      }
      for (int c = 0; c < dim; c++) {
        tensor.data()[r * dim + c] = (float) (length * directions[r * dim + c]);
      }
    }
    return tensor;
  }

  /// Draws A row by row and turns it into Householder reflections, as LAPACK's dgeqr2 does.
  ///
  /// @param columns receives reflection j in elements j and after of its row j
  /// @param diagonal receives that of R
  private static void factorise(
      ZigguratSampler.NormalizedGaussian gaussian, int dim, double[] columns, double[] diagonal) {
    for (int row = 0; row < dim; row++) {
      for (int c = 0; c < dim; c++) {
        columns[c * dim + row] = gaussian.sample();
      }
    }
    for (int j = 0; j < dim; j++) {
      int at = j * dim;
      diagonal[j] = columns[at + j];
      if (j < dim - 1) {
        double norm = Math.sqrt(normSquared(columns, at, j, dim));
        diagonal[j] = -Math.copySign(norm, columns[at + j]);
        columns[at + j] -= diagonal[j];
        for (int other = j + 1; other < dim; other++) {
          reflect(columns, at, j, dim, columns, other * dim);
        }
      }
    }
  }

  /// Column j of Q, as LAPACK's dorg2r makes it, times a sign.
  private static void column(
      double[] reflections, int dim, int j, double sign, double[] q, int qo) {
    q[qo + j] = sign;
    for (int r = Math.min(j, dim - 2); r >= 0; r--) {
      reflect(reflections, r * dim, r, dim, q, qo);
    }
  }

  /// x ← (I − 2 w wᵀ / |w|²) x, where w is zero before `from`.
  private static void reflect(double[] w, int wo, int from, int dim, double[] x, int xo) {
    double product = 0;
    for (int i = from; i < dim; i++) {
      product += w[wo + i] * x[xo + i];
    }
    double factor = 2 * product / normSquared(w, wo, from, dim);
    for (int i = from; i < dim; i++) {
      x[xo + i] -= factor * w[wo + i];
    }
  }

  private static double normSquared(double[] x, int xo, int from, int dim) {
    double sum = 0;
    for (int i = from; i < dim; i++) {
      sum += x[xo + i] * x[xo + i];
    }
    return sum;
  }
}
