// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;

/// Decoding with the quadratic form of [Power] over a compressed cache.
final class PowerCompressed extends CompressedSession {
  private final PowerWeights weights;

  PowerCompressed(Power power, AttentionShape shape, int threads, CacheOptions cache) {
    super(power, shape, power.scaleOf(shape), Form.ANY, cache, threads);
    weights = new PowerWeights(power, shape, threads);
  }

  @Override
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    super.keys(t, tokens, position, toKeys, toValues);
    weights.take(inputs(), t, tokens, position);
  }

  @Override
  public void weigh(
      int worker, int problem, int position, int count, int[] positions, float[] scores, int at) {
    int keyHead = problem / shape.groupSize();
    weights.weigh(worker, keyHead, position, count, positions, scores, at);
  }

  @Override
  public long stateBytes() {
    return super.stateBytes() + weights.bytes(position());
  }
}
