// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.DoubleProducts;

/// The backward pass of [PseudoInverse]: computes the iterates again, then goes back through them.
/// One iteration is read as
///
/// ```
/// P = K Z      A = 7I − P      B = 15I − P A      D = 13I − P B      Z' = ¼ Z D
/// ```
///
/// One instance belongs to one worker.
final class PseudoInverseGradient {
  private final int m;
  private final int iterations;
  private final int size;

  /// Z_0 … Z_T.
  private final double[] iterates;

  private final double[] p;
  private final double[] a;
  private final double[] b;
  private final double[] d;
  private final double[] gradD;
  private final double[] gradB;
  private final double[] gradA;
  private final double[] gradP;
  private final double[] transposed;
  private final double[] product;

  /// ∂Z: of the last iterate before [#backward], of the first after it.
  final double[] gradZ;

  /// @param scratch allocator
  /// @param m number of rows and columns
  /// @param iterations T
  PseudoInverseGradient(Scratch scratch, int m, int iterations) {
    this.m = m;
    this.iterations = iterations;
    size = m * m;
    iterates = scratch.doubles((iterations + 1L) * size);
    p = scratch.doubles(size);
    a = scratch.doubles(size);
    b = scratch.doubles(size);
    d = scratch.doubles(size);
    gradD = scratch.doubles(size);
    gradB = scratch.doubles(size);
    gradA = scratch.doubles(size);
    gradP = scratch.doubles(size);
    transposed = scratch.doubles(size);
    product = scratch.doubles(size);
    gradZ = scratch.doubles(size);
  }

  /// Bytes the constructor allocates.
  static long bytes(int m, int iterations) {
    return (iterations + 12L) * m * m * Double.BYTES;
  }

  /// Floating-point operations of both directions: four products of an iteration, computed again,
  /// then three of them once more and eight back.
  static double flops(int m, int iterations) {
    return 30.0 * iterations * m * m * m;
  }

  /// The iterates; element (i, j) of Z_T is at [#last] + i m + j.
  ///
  /// @param k the matrix K, row-major from `ko`
  /// @param s scale of the first iterate
  double[] forward(double[] k, int ko, double s) {
    transpose(k, ko, iterates);
    for (int e = 0; e < size; e++) {
      iterates[e] /= s;
    }
    for (int t = 0; t < iterations; t++) {
      step(k, ko, t);
      DoubleProducts.multiply(m, iterates, t * size, d, 0, iterates, (t + 1) * size);
      for (int e = (t + 1) * size; e < (t + 2) * size; e++) {
        iterates[e] *= 0.25;
      }
    }
    return iterates;
  }

  /// First element of Z_T.
  int last() {
    return iterations * size;
  }

  /// P, A, B and D of iteration t.
  private void step(double[] k, int ko, int t) {
    DoubleProducts.multiply(m, k, ko, iterates, t * size, p, 0);
    identityMinus(7, p, a);
    DoubleProducts.multiply(m, p, 0, a, 0, b, 0);
    identityMinus(15, b, b);
    DoubleProducts.multiply(m, p, 0, b, 0, d, 0);
    identityMinus(13, d, d);
  }

  /// From ∂Z_T in [#gradZ] to ∂Z_0 there; adds ∂K but for the path through Z_0.
  void backward(double[] k, int ko, double[] gradK, int go) {
    for (int t = iterations - 1; t >= 0; t--) {
      int z = t * size;
      step(k, ko, t);
      transposedTimes(iterates, z, gradZ, 0.25, gradD);
      timesTransposed(gradZ, d, 0.25, product);
      System.arraycopy(product, 0, gradZ, 0, size);
      timesTransposed(gradD, b, -1, gradP);
      transposedTimes(p, 0, gradD, -1, gradB);
      timesTransposed(gradB, a, -1, product);
      add(product, 1, gradP);
      transposedTimes(p, 0, gradB, -1, gradA);
      add(gradA, -1, gradP);
      transposedTimes(k, ko, gradP, 1, product);
      add(product, 1, gradZ);
      transpose(iterates, z, transposed);
      DoubleProducts.multiply(m, gradP, 0, transposed, 0, product, 0);
      for (int e = 0; e < size; e++) {
        gradK[go + e] += product[e];
      }
    }
  }

  /// Adds the path through Z_0 = Kᵀ/s to ∂K.
  ///
  /// @return ∂s
  double firstIterate(double s, double[] gradK, int go) {
    double gradScale = 0;
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        gradK[go + i * m + j] += gradZ[j * m + i] / s;
        gradScale -= gradZ[j * m + i] * iterates[j * m + i] / s;
      }
    }
    return gradScale;
  }

  /// `c = factor · xᵀ y`.
  private void transposedTimes(double[] x, int xo, double[] y, double factor, double[] c) {
    transpose(x, xo, transposed);
    DoubleProducts.multiply(m, transposed, 0, y, 0, c, 0);
    scale(factor, c);
  }

  /// `c = factor · x yᵀ`.
  private void timesTransposed(double[] x, double[] y, double factor, double[] c) {
    transpose(y, 0, transposed);
    DoubleProducts.multiply(m, x, 0, transposed, 0, c, 0);
    scale(factor, c);
  }

  private void transpose(double[] x, int xo, double[] y) {
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        y[j * m + i] = x[xo + i * m + j];
      }
    }
  }

  private void scale(double factor, double[] x) {
    for (int e = 0; e < size; e++) {
      x[e] *= factor;
    }
  }

  private void add(double[] x, double factor, double[] y) {
    for (int e = 0; e < size; e++) {
      y[e] += factor * x[e];
    }
  }

  private void identityMinus(double factor, double[] x, double[] y) {
    for (int e = 0; e < size; e++) {
      y[e] = -x[e];
    }
    for (int i = 0; i < m; i++) {
      y[i * m + i] += factor;
    }
  }
}
