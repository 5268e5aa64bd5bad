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
    double[][] directions = new double[rows][];
    for (int first = 0; first < rows; first += dim) {
      double[][] columns = orthogonal(gaussian, uniform, dim);
      for (int r = first; r < Math.min(rows, first + dim); r++) {
        directions[r] = columns[r - first];
      }
    }
    Tensor tensor = Tensor.zeros(rows, dim);
    for (int r = 0; r < rows; r++) {
      double length = Math.sqrt(dim);
      if (lengths == Lengths.REGULAR) {
        length = Math.sqrt(normSquared(vector(gaussian, dim), 0));
      }
      for (int c = 0; c < dim; c++) {
        tensor.data()[r * dim + c] = (float) (length * directions[r][c]);
      }
    }
    return tensor;
  }

  /// Columns of Q, from Householder reflections as in LAPACK's dgeqr2 and dorg2r.
  private static double[][] orthogonal(
      ZigguratSampler.NormalizedGaussian gaussian, boolean uniform, int dim) {
    double[][] columns = transposed(gaussian, dim);
    double[][] reflectors = new double[dim][];
    double[] diagonal = new double[dim];
    for (int j = 0; j < dim; j++) {
      double[] x = columns[j];
      diagonal[j] = x[j];
      if (j < dim - 1) {
        diagonal[j] = -Math.copySign(Math.sqrt(normSquared(x, j)), x[j]);
        reflectors[j] = x.clone();
        reflectors[j][j] -= diagonal[j];
        for (int other = j + 1; other < dim; other++) {
          reflect(reflectors[j], j, columns[other]);
        }
      }
    }
    double[][] q = new double[dim][dim];
    for (int j = 0; j < dim; j++) {
      q[j][j] = uniform && diagonal[j] < 0 ? -1 : 1;
      for (int r = Math.min(j, dim - 2); r >= 0; r--) {
        reflect(reflectors[r], r, q[j]);
      }
    }
    return q;
  }

  /// x ← (I − 2 w wᵀ / |w|²) x, where w is zero before `from`.
  private static void reflect(double[] w, int from, double[] x) {
    double product = 0;
    for (int i = from; i < w.length; i++) {
      product += w[i] * x[i];
    }
    double factor = 2 * product / normSquared(w, from);
    for (int i = from; i < w.length; i++) {
      x[i] -= factor * w[i];
    }
  }

  private static double[][] transposed(ZigguratSampler.NormalizedGaussian gaussian, int dim) {
    double[][] columns = new double[dim][dim];
    for (int row = 0; row < dim; row++) {
      double[] drawn = vector(gaussian, dim);
      for (int c = 0; c < dim; c++) {
        columns[c][row] = drawn[c];
      }
    }
    return columns;
  }

  private static double[] vector(ZigguratSampler.NormalizedGaussian gaussian, int dim) {
    double[] x = new double[dim];
    for (int i = 0; i < dim; i++) {
      x[i] = gaussian.sample();
    }
    return x;
  }

  private static double normSquared(double[] x, int from) {
    double sum = 0;
    for (int i = from; i < x.length; i++) {
      sum += x[i] * x[i];
    }
    return sum;
  }
}
