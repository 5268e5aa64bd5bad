// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;

/// Decoding of [Cosine] over a compressed cache of nrm(k) and v.
final class CosineCompressed extends CompressedSession {
  private final Cosine cosine;
  private final int d = shape.headDim();

  CosineCompressed(Cosine cosine, AttentionShape shape, int threads, CacheOptions cache) {
    super(cosine, shape, 1, Form.DOT_PRODUCT, cache, threads);
    this.cosine = cosine;
  }

  @Override
  protected void accept(int t, int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("cosine: bias must be absent while decoding");
    }
  }

  @Override
  protected void queries(int t, int tokens, int position, float[] to) {
    for (int p = 0; p < shape.problems(); p++) {
      int row = p * tokens + t;
      double scale = cosine.scaleOf(inputs(), p % shape.numHeads(), row);
      cosine.normalise(input("q"), row * d, d, scale, to, p * d);
    }
  }

  @Override
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    super.keys(t, tokens, position, toKeys, toValues);
    for (int at = 0; at < toKeys.length; at += d) {
      cosine.normalise(toKeys, at, d, 1, toKeys, at);
    }
  }
}
