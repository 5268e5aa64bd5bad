// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.mechanism.Parameter;
import java.util.OptionalDouble;
import java.util.OptionalInt;

/// As [SnapKv], with a budget that shrinks from layer to layer (Cai et al., PyramidKV,
/// arXiv:2406.02069).
///
/// ```
/// authors:  lo = (C − W) div β;  hi = 2 (C − W) − lo;  if hi ≥ p − W: hi = p − W, lo = 2 (C − W) − hi
///           cap = hi − l ((hi − lo) div (M − 1));  kept: C if p < C or p < 2 (C − W), else cap + W
/// kvpress:  x = p (1 − r);  lo = x / β;  hi = 2 x − lo;  the same clip
///           round(x) unless p ≥ hi ≥ lo ≥ W, else round(hi − l (hi − lo) / (M − 1)), W included
/// ```
///
/// @param budget C, the mean over the layers
/// @param compressionRatio r, instead of `budget`
/// @param observationWindow W
/// @param kernelSize width of the pool, odd
/// @param pooling form of the pool
/// @param layer number l of this layer, from 0
/// @param layers number M of layers
/// @param beta β, the slope
/// @param budgetRule whose formula
public record PyramidKv(
    @Parameter(value = "positions kept, 1024 where nothing is given", defaultValue = "")
        OptionalInt budget,
    @Parameter(value = "share of the prompt that goes, instead of budget", defaultValue = "")
        OptionalDouble compressionRatio,
    @Parameter(value = "last prompt positions that decide and stay, >= 1", defaultValue = "32")
        int observationWindow,
    @Parameter(value = "width of the pool, odd", defaultValue = "5") int kernelSize,
    @Parameter(value = "form of the pool", defaultValue = "average") Pooling pooling,
    @Parameter(value = "number of this layer, from 0", defaultValue = "0") int layer,
    @Parameter(value = "number of layers, >= 2", defaultValue = "2") int layers,
    @Parameter(value = "slope, >= 1", defaultValue = "20") int beta,
    @Parameter(value = "whose formula of the budget", defaultValue = "authors") Rule budgetRule)
    implements CachePolicy {
  static final String NAME = "pyramidkv";

  /// Whose formula.
  public enum Rule {
    /// Of the authors' code.
    AUTHORS,
    /// Of kvpress.
    KVPRESS
  }

  /// Validates the sizes.
  public PyramidKv {
    Budget.check(budget, compressionRatio);
    SnapKv.checkWindow(observationWindow, kernelSize);
    if (layers < 2 || layer < 0 || layer >= layers) {
      throw new IllegalArgumentException(
          "layer must be from 0 to layers - 1 (" + (layers - 1) + "), but was " + layer);
    }
    if (beta < 1) {
      throw new IllegalArgumentException("beta must be >= 1, but was " + beta);
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
    return budgetRule == Rule.AUTHORS ? authors(prompt) : kvpress(prompt);
  }

  private int authors(int prompt) {
    int mean = Budget.of(budget, compressionRatio, prompt);
    int beyond = mean - observationWindow;
    if (prompt < mean || prompt < 2 * beyond) {
      return mean;
    }
    int low = beyond / beta;
    int high = 2 * beyond - low;
    if (high >= prompt - observationWindow) {
      high = prompt - observationWindow;
      low = 2 * beyond - high;
    }
    return high - layer * ((high - low) / (layers - 1)) + observationWindow;
  }

  private int kvpress(int prompt) {
    double mean =
        compressionRatio.isPresent()
            ? prompt * (1 - compressionRatio.getAsDouble())
            : Budget.of(budget, compressionRatio, prompt);
    double low = mean / beta;
    double high = 2 * mean - low;
    if (high >= prompt - observationWindow) {
      high = prompt - observationWindow;
      low = 2 * mean - high;
    }
    boolean pyramid = prompt >= high && high >= low && low >= observationWindow;
    return (int) Math.rint(pyramid ? high - layer * (high - low) / (layers - 1) : mean);
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
    SnapKv.pooled(view, head, scores, observationWindow, kernelSize, pooling);
  }
}
