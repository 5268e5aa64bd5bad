// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.KeyValueSession;

/// Decoding with the quadratic form of [Power]: all keys and values are kept, and the cumulative
/// decays.
final class PowerSession extends KeyValueSession {
  private final Kernels kernels = Kernels.get();
  private final Power power;
  private final float ratio;
  private final double[] cumulative;
  private final float[][] factors;

  PowerSession(Power power, AttentionShape shape, int threads) {
    super(power, shape, threads, shape.keySeqLen());
    this.power = power;
    ratio = (float) (power.scaleOf(shape) * Math.sqrt(shape.headDim()));
    cumulative = new double[shape.batchSize() * shape.numKeyValueHeads() * capacity()];
    factors = new float[threads][capacity()];
  }

  @Override
  protected void accept(int t, int tokens) {
    boolean decay = hasInput("log_decay");
    int heads = shape.batchSize() * shape.numKeyValueHeads();
    for (int h = 0; h < heads; h++) {
      int at = h * capacity() + position();
      double before = position() == 0 ? 0 : cumulative[at - 1];
      cumulative[at] =
          before + (decay ? PowerDecays.finite(input("log_decay")[h * tokens + t]) : 0);
    }
  }

  @Override
  protected int see(int worker, int problem, int position, int[] into) {
    for (int j = 0; j <= position; j++) {
      into[j] = j;
    }
    return position + 1;
  }

  /// w_j / (Σ w + eps max w), of one row.
  @Override
  protected void weigh(int worker, int problem, int count, float[] weights) {
    float eps = (float) power.scoreEps();
    kernels.scale(count, ratio, weights, 0, weights, 0);
    for (int j = 0; j < count && eps > 0; j++) {
      weights[j] += Math.copySign(eps, weights[j]);
    }
    kernels.power(count, 1, power.degree(), weights, 0);
    int at = keyHead(problem) * capacity();
    double own = cumulative[at + count - 1];
    float[] factor = factors[worker];
    for (int j = 0; j < count; j++) {
      factor[j] = (float) (own - cumulative[at + j]);
    }
    kernels.exp(count, 1, 0, factor, 0, factor, 0);
    kernels.multiplyElements(count, weights, 0, factor, 0, weights, 0);
    float sum = kernels.sum(count, weights, 0);
    float by = sum + (float) power.eps() * kernels.max(count, weights, 0);
    kernels.scale(count, by < Float.MIN_NORMAL ? 0 : 1 / by, weights, 0, weights, 0);
  }

  @Override
  public long stateBytes() {
    long heads = (long) shape.batchSize() * shape.numKeyValueHeads();
    return super.stateBytes() + heads * kept(position()) * Double.BYTES;
  }
}
