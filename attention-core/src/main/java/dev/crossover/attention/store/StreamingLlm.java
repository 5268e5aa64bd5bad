// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Branch;
import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the first positions and the last ones (Xiao et al., Efficient Streaming Language Models
/// with Attention Sinks, ICLR 2024, arXiv:2309.17453).
///
/// @param sinkTokens first positions, always kept
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
public record StreamingLlm(
    @Branch("sinks")
        @Parameter(
            value = "first positions always kept, >= 0",
            defaultValue = "4",
            goldenDefault = "0")
        int sinkTokens,
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio)
    implements CachePolicy {
  static final String NAME = "streaming_llm";

  /// Validates the sizes.
  public StreamingLlm {
    Budget.check(budget, compressionRatio);
    if (sinkTokens < 0) {
      throw new IllegalArgumentException("sink_tokens must be >= 0, but was " + sinkTokens);
    }
  }

  @Override
  public String name() {
    return NAME;
  }

  @Override
  public int budget(int prompt) {
    return Budget.of(budget, compressionRatio, prompt);
  }

  /// Later places score higher; sinks are positions, not places, so they are never lost.
  @Override
  public void score(CacheView view, int head, double[] scores) {
    for (int j = 0; j < view.cached(); j++) {
      boolean sink = view.position(head, j) < sinkTokens;
      scores[j] = sink ? Double.POSITIVE_INFINITY : j;
    }
  }
}
