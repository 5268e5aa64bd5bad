// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the positions to which the newest query pays most attention, one set for all heads (Oren
/// et al., Transformers are Multi-State RNNs, EMNLP 2024, arXiv:2401.06104).
///
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
/// @param protectLast whether the newest position stays in any case
public record Tova(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio,
    @Parameter(value = "the newest position stays in any case", defaultValue = "false")
        boolean protectLast)
    implements CachePolicy {
  static final String NAME = "tova";

  /// Validates the budget.
  public Tova {
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
  public Weights weights() {
    return Weights.NEWEST;
  }

  /// The mean over all query heads of the batch entry, which is that over its key/value heads'
  /// means.
  @Override
  public void score(CacheView view, int head, double[] scores) {
    int heads = view.queryHeads() / view.group();
    int first = head / heads * heads;
    for (int j = 0; j < view.cached(); j++) {
      double sum = 0;
      for (int h = first; h < first + heads; h++) {
        sum += view.weight(h, j);
      }
      boolean stays = protectLast && j == view.cached() - 1;
      scores[j] = stays ? Double.POSITIVE_INFINITY : sum / heads;
    }
  }
}
