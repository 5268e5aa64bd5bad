// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the positions whose keys are shortest (Devoto et al., A Simple and Effective L2 Norm-Based
/// Strategy for KV Cache Compression, EMNLP 2024, arXiv:2406.11430).
///
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
public record KeyNorm(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio)
    implements CachePolicy {
  static final String NAME = "knorm";

  /// Validates the budget.
  public KeyNorm {
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

  @Override
  public void score(CacheView view, int head, double[] scores) {
    float[] key = new float[view.dim()];
    for (int j = 0; j < view.cached(); j++) {
      view.key(head, j, key);
      scores[j] = -norm(key);
    }
  }

  static double norm(float[] row) {
    double sum = 0;
    for (float x : row) {
      sum += (double) x * x;
    }
    return Math.sqrt(sum);
  }
}
