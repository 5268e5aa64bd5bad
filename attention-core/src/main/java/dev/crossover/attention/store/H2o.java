// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;

/// Keeps the newest positions and, of the others, those that received most attention so far: heavy
/// hitters (Zhang et al., H2O, NeurIPS 2023, arXiv:2306.14048, algorithm 1).
///
/// A position's score is the sum of the weights of all queries since it was cached, the prompt's
/// included, added up in double.
///
/// @param heavyBudget heavy hitters kept
/// @param recentBudget newest positions kept
public record H2o(
    @Parameter(value = "heavy hitters kept, >= 0", defaultValue = "512") int heavyBudget,
    @Parameter(value = "newest positions kept, >= 0", defaultValue = "512") int recentBudget)
    implements CachePolicy {
  static final String NAME = "h2o";

  /// Validates the sizes.
  public H2o {
    if (heavyBudget < 0 || recentBudget < 0 || heavyBudget + recentBudget < 1) {
      throw new IllegalArgumentException(
          "heavy_budget and recent_budget must be >= 0 and keep a position, but were "
              + heavyBudget
              + " and "
              + recentBudget);
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int budget(int prompt) {
    return heavyBudget + recentBudget;
  }

  @Override
  public Weights weights() {
    return Weights.ALL;
  }

  @Override
  public void score(CacheView view, int head, double[] scores) {
    int older = view.cached() - recentBudget;
    for (int j = 0; j < view.cached(); j++) {
      scores[j] = j >= older ? Double.POSITIVE_INFINITY : view.weight(head, j);
    }
  }
}
