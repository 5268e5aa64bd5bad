// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.kernel.Kernels;

/// Weights of the quadratic form of [Power] while decoding, and the cumulative decays, which stay
/// for every position.
final class PowerWeights {
  private static final float[] NO_DECAY = {};

  private final Kernels kernels = Kernels.get();
  private final Power power;
  private final int heads;
  private final int capacity;

  /// `[batch, kvHeads, capacity]`.
  private final double[] cumulative;

  private final float[][] factors;

  PowerWeights(Power power, AttentionShape shape, int threads) {
    this.power = power;
    heads = shape.batchSize() * shape.numKeyValueHeads();
    capacity = Math.max(1, shape.keySeqLen());
    cumulative = new double[heads * capacity];
    factors = new float[threads][capacity];
  }

  /// Takes the decays of row `t`.
  ///
  /// @param inputs perhaps with `log_decay`, `[batch, kvHeads, tokens]`
  void take(BoundTensors inputs, int t, int tokens, int position) {
    float[] logDecay = inputs.has("log_decay") ? inputs.get("log_decay") : NO_DECAY;
    for (int h = 0; h < heads; h++) {
      int at = h * capacity + position;
      double before = position == 0 ? 0 : cumulative[at - 1];
      double own = logDecay.length == 0 ? 0 : PowerDecays.finite(logDecay[h * tokens + t]);
      cumulative[at] = before + own;
    }
  }

  /// w_j / (Σ w + eps max w), of one row.
  ///
  /// @param scores scaled dot products from `at`, become weights
  void weigh(
      int worker, int keyHead, int position, int count, int[] positions, float[] scores, int at) {
    float eps = (float) power.scoreEps();
    for (int j = at; j < at + count && eps > 0; j++) {
      scores[j] += Math.copySign(eps, scores[j]);
    }
    kernels.power(count, 1, power.degree(), scores, at);
    int row = keyHead * capacity;
    double own = cumulative[row + position];
    float[] factor = factors[worker];
    for (int j = 0; j < count; j++) {
      factor[j] = (float) (own - cumulative[row + positions[j]]);
    }
    kernels.exp(count, 1, 0, factor, 0, factor, 0);
    kernels.multiplyElements(count, scores, at, factor, 0, scores, at);
    float sum = kernels.sum(count, scores, at);
    float by = sum + (float) power.eps() * kernels.max(count, scores, at);
    kernels.scale(count, by < Float.MIN_NORMAL ? 0 : 1 / by, scores, at, scores, at);
  }

  /// Bytes of the decays of some positions.
  long bytes(int positions) {
    return (long) heads * positions * Double.BYTES;
  }
}
