// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.DoubleProducts;

/// The iterative pseudo-inverse of a softmax matrix K (Razavi et al., 2014, as used by
/// Nyströmformer, equation (11)), in double precision:
///
/// ```
/// Z_0     = Kᵀ / s
/// Z_{j+1} = ¼ Z_j (13 I − K Z_j (15 I − K Z_j (7 I − K Z_j)))
/// ```
///
/// Converges to the inverse of a regular K where ‖I − K Z_0‖ < 1. One instance belongs to one
/// worker.
final class PseudoInverse {
  private final int m;
  private final double[] product;
  private final double[] inner;
  private final double[] outer;
  private final double[] z;

  /// @param scratch allocator
  /// @param m number of rows and columns
  PseudoInverse(Scratch scratch, int m) {
    this.m = m;
    product = scratch.doubles((long) m * m);
    inner = scratch.doubles((long) m * m);
    outer = scratch.doubles((long) m * m);
    z = scratch.doubles((long) m * m);
  }

  /// Bytes the constructor allocates.
  static long bytes(int m) {
    return 4L * m * m * Double.BYTES;
  }

  /// Floating-point operations of a number of iterations.
  static double flops(int m, int iterations) {
    return 8.0 * iterations * m * m * m;
  }

  /// Z after a number of iterations; the array is overwritten by the next call.
  ///
  /// @param k the matrix K, row-major from `ko`
  /// @param s scale of the first iterate
  double[] of(double[] k, int ko, double s, int iterations) {
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        z[j * m + i] = k[ko + i * m + j] / s;
      }
    }
    for (int iteration = 0; iteration < iterations; iteration++) {
      DoubleProducts.multiply(m, k, ko, z, 0, product, 0);
      identityMinus(7, product, inner);
      DoubleProducts.multiply(m, product, 0, inner, 0, outer, 0);
      identityMinus(15, outer, outer);
      DoubleProducts.multiply(m, product, 0, outer, 0, inner, 0);
      identityMinus(13, inner, inner);
      DoubleProducts.multiply(m, z, 0, inner, 0, outer, 0);
      for (int e = 0; e < m * m; e++) {
        z[e] = 0.25 * outer[e];
      }
    }
    return z;
  }

  /// `y = factor · I − x`; x and y may be the same.
  private void identityMinus(double factor, double[] x, double[] y) {
    for (int e = 0; e < m * m; e++) {
      y[e] = -x[e];
    }
    for (int i = 0; i < m; i++) {
      y[i * m + i] += factor;
    }
  }
}
