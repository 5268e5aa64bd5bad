// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the positions of largest mean weight over the queries that could see them (kvpress's form
/// of H2O).
///
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
public record ObservedAttention(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio)
    implements CachePolicy {
  static final String NAME = "observed_attention";

  /// Validates the budget.
  public ObservedAttention {
    Budget.check(budget, compressionRatio);
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public boolean needsPrompt() {
    return true;
  }

  @Override
  public int budget(int prompt) {
    return Budget.of(budget, compressionRatio, prompt);
  }

  @Override
  public Weights weights() {
    return Weights.ALL;
  }

  @Override
  public void score(CacheView view, int head, double[] scores) {
    for (int j = 0; j < view.cached(); j++) {
      scores[j] = view.weight(head, j) / (view.cached() - j);
    }
  }
}
