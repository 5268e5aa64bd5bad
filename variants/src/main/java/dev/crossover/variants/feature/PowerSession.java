// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.KeyValueSession;
import java.util.Arrays;

/// Decoding with the quadratic form of [Power]: all keys and values are kept, and the cumulative
/// decays.
final class PowerSession extends KeyValueSession {
  private final Kernels kernels = Kernels.get();
  private final PowerWeights weights;
  private final float ratio;
  private final int[] counting = new int[capacity()];

  PowerSession(Power power, AttentionShape shape, int threads) {
    super(power, shape, threads, shape.keySeqLen());
    weights = new PowerWeights(power, shape, threads);
    ratio = (float) (power.scaleOf(shape) * Math.sqrt(shape.headDim()));
    Arrays.setAll(counting, j -> j);
  }

  @Override
  protected void accept(int t, int tokens) {
    weights.take(inputs(), t, tokens, position());
  }

  @Override
  protected int see(int worker, int problem, int position, int[] into) {
    System.arraycopy(counting, 0, into, 0, position + 1);
    return position + 1;
  }

  @Override
  protected void weigh(int worker, int problem, int count, float[] scores) {
    kernels.scale(count, ratio, scores, 0, scores, 0);
    weights.weigh(worker, keyHead(problem), count - 1, count, counting, scores, 0);
  }

  @Override
  public long stateBytes() {
    return super.stateBytes() + weights.bytes(kept(position()));
  }
}
