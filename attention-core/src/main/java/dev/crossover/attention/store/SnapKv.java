// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// Keeps the last prompt positions and, of the others, those that the last prompt queries look at,
/// smoothed over neighbours (Li et al., SnapKV, NeurIPS 2024, arXiv:2404.14469).
///
/// @param budget positions kept
/// @param compressionRatio share of the prompt that goes, instead of `budget`
/// @param observationWindow last prompt positions, whose queries decide and which stay
/// @param kernelSize width of the pool, odd
/// @param pooling form of the pool
public record SnapKv(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio,
    @Parameter(value = "last prompt positions that decide and stay, >= 1", defaultValue = "32")
        int observationWindow,
    @Parameter(value = "width of the pool, odd", defaultValue = "5") int kernelSize,
    @Parameter(value = "form of the pool", defaultValue = "average") Pooling pooling)
    implements CachePolicy {
  static final String NAME = "snapkv";

  /// Validates the sizes.
  public SnapKv {
    Budget.check(budget, compressionRatio);
    checkWindow(observationWindow, kernelSize);
  }

  static void checkWindow(int observationWindow, int kernelSize) {
    if (observationWindow < 1) {
      throw new IllegalArgumentException(
          "observation_window must be >= 1, but was " + observationWindow);
    }
    if (kernelSize < 1 || kernelSize % 2 == 0) {
      throw new IllegalArgumentException("kernel_size must be odd, but was " + kernelSize);
    }
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
    return Weights.WINDOW;
  }

  @Override
  public int window() {
    return observationWindow;
  }

  @Override
  public void score(CacheView view, int head, double[] scores) {
    pooled(view, head, scores, observationWindow, kernelSize, pooling);
  }

  /// Pooled weights of the positions before the window, +∞ in it.
  static void pooled(
      CacheView view, int head, double[] scores, int window, int kernelSize, Pooling pooling) {
    int others = Math.max(0, view.cached() - window);
    for (int j = 0; j < view.cached(); j++) {
      scores[j] = j < others ? view.weight(head, j) : Double.POSITIVE_INFINITY;
    }
    pooling.apply(scores, others, kernelSize);
  }
}
