// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.kernel.Kernels;

/// The cross-polytope hash of Andoni et al., arXiv:1509.02897: the bucket of x is the argmax of
/// `[x·R ; −x·R]`, the first maximum winning; with several factors a mixed-radix number of their
/// argmaxes.
///
/// Products are taken in float32; where the two best lie closer than their rounding errors, they
/// are taken again in double.
final class LshHash {
  private static final double HALF_ULP = 0x1p-24;

  private final int dim;
  private final int rounds;
  private final int directions;
  private final int[] factors;

  /// @param dim width d of x
  /// @param rounds number of hashes
  /// @param factors numbers of buckets whose product is the number of buckets
  LshHash(int dim, int rounds, int[] factors) {
    this.dim = dim;
    this.rounds = rounds;
    this.factors = factors;
    int half = 0;
    for (int factor : factors) {
      half += factor / 2;
    }
    this.directions = half;
  }

  /// Largest norm of a direction of one head.
  ///
  /// @param rotations `[d, rounds, directions]` from `ro`
  double longest(float[] rotations, int ro) {
    int width = rounds * directions;
    double largest = 0;
    for (int column = 0; column < width; column++) {
      double squares = 0;
      for (int c = 0; c < dim; c++) {
        double r = rotations[ro + c * width + column];
        squares += r * r;
      }
      largest = Math.max(largest, squares);
    }
    return Math.sqrt(largest);
  }

  /// `rotated[i] = x_i · R` for some rows and all rounds.
  ///
  /// @param rotated receives `[count, rounds · directions]`
  void rotate(
      Kernels kernels, int count, float[] x, int xo, float[] rotations, int ro, float[] rotated) {
    int width = rounds * directions;
    kernels.multiply(count, width, dim, x, xo, dim, rotations, ro, width, rotated, 0, width, false);
  }

  /// The bucket of one token in one round.
  ///
  /// @param rotated the token's products with this round's directions, from `at`
  /// @param norm length of x
  /// @param longest what [#longest] gave
  int bucket(
      Kernels kernels,
      float[] rotated,
      int at,
      float[] x,
      int xo,
      float[] rotations,
      int ro,
      int round,
      double norm,
      double longest) {
    double error = 2 * (dim + 2) * HALF_ULP * norm * longest;
    int bucket = 0;
    int radix = 1;
    int first = 0;
    for (int factor : factors) {
      int half = factor / 2;
      float largest = kernels.largestMagnitude(half, rotated, at + first);
      int winner = onlyOneFrom(rotated, at + first, half, (float) (largest - error));
      if (winner < 0) {
        winner = argmaxInDouble(x, xo, rotations, ro + round * directions + first, half);
      }
      bucket += radix * winner;
      radix *= factor;
      first += half;
    }
    return bucket;
  }

  /// The entry of `[y ; −y]` that is at least `bound`, or −1 unless it is the only one.
  private static int onlyOneFrom(float[] y, int at, int half, float bound) {
    int found = -1;
    int count = 0;
    for (int i = 0; i < half; i++) {
      if (Math.abs(y[at + i]) >= bound) {
        found = y[at + i] > 0 ? i : half + i;
        count++;
      }
    }
    return count == 1 && bound > 0 ? found : -1;
  }

  private int argmaxInDouble(float[] x, int xo, float[] rotations, int column, int half) {
    int width = rounds * directions;
    int highest = 0;
    int lowest = 0;
    double most = Double.NEGATIVE_INFINITY;
    double least = Double.POSITIVE_INFINITY;
    for (int i = 0; i < half; i++) {
      double y = 0;
      for (int c = 0; c < dim; c++) {
        y += (double) x[xo + c] * rotations[column + i + c * width];
      }
      if (y > most) {
        most = y;
        highest = i;
      }
      if (y < least) {
        least = y;
        lowest = i;
      }
    }
    return most >= -least ? highest : half + lowest;
  }
}
