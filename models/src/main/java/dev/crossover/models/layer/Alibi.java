// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

/// Slopes of linear biases (Press et al. 2022, arXiv:2108.12409): the score of positions i and j
/// loses m_h |i − j|.
final class Alibi {
  private Alibi() {}

  /// For a power of two heads 2^(−8h/H), h from 1; otherwise those of the largest power of two
  /// below, and then every other one of twice as many.
  static double[] slopes(int heads) {
    int power = Integer.highestOneBit(heads);
    double[] slopes = new double[heads];
    for (int h = 0; h < power; h++) {
      slopes[h] = Math.pow(2, -8.0 * (h + 1) / power);
    }
    for (int h = power; h < heads; h++) {
      slopes[h] = Math.pow(2, -8.0 * (2 * (h - power) + 1) / (2 * power));
    }
    return slopes;
  }
}
