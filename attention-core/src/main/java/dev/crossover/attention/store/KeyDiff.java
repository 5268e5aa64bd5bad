// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the positions whose keys point away from the mean direction of all cached keys (Park et
/// al., KeyDiff, arXiv:2504.15364).
///
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
public record KeyDiff(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio)
    implements CachePolicy {
  static final String NAME = "keydiff";

  /// Validates the budget.
  public KeyDiff {
    Budget.check(budget, compressionRatio);
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int budget(int prompt) {
    return Budget.of(budget, compressionRatio, prompt);
  }

  /// Minus the cosine of a key with the mean of the normalised keys.
  @Override
  public void score(CacheView view, int head, double[] scores) {
    int dim = view.dim();
    float[] key = new float[dim];
    double[] mean = new double[dim];
    for (int j = 0; j < view.cached(); j++) {
      view.key(head, j, key);
      double norm = KeyNorm.norm(key);
      for (int c = 0; c < dim && norm > 0; c++) {
        mean[c] += key[c] / norm;
      }
    }
    double length = 0;
    for (double x : mean) {
      length += x * x;
    }
    length = Math.sqrt(length);
    for (int j = 0; j < view.cached(); j++) {
      view.key(head, j, key);
      double dot = 0;
      for (int c = 0; c < dim; c++) {
        dot += key[c] * mean[c];
      }
      double scale = KeyNorm.norm(key) * length;
      scores[j] = scale == 0 ? 0 : -dot / scale;
    }
  }
}
