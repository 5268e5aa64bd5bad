// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;

/// Decoding of [Tener] over a compressed cache of expanded keys, which carry their positions, and
/// values.
final class TenerCompressed extends CompressedSession {
  private final Tener tener;
  private final int d = shape.headDim();
  private final int width = cached.headDim();
  private final float[] table = new float[shape.keySeqLen() * Tener.waves(d)];
  private final float[] rotated = new float[d];

  TenerCompressed(Tener tener, AttentionShape shape, int threads, CacheOptions cache) {
    super(
        tener,
        shape,
        shape.withHeadDim(tener.width(shape.headDim())),
        false,
        tener.scale(shape.headDim()),
        Form.DOT_PRODUCT,
        cache,
        threads);
    this.tener = tener;
    Tener.fillTable(shape.keySeqLen(), d, table);
  }

  @Override
  protected void queries(int t, int tokens, int position, float[] to) {
    float[] content = input("content_bias");
    float[] place = input("position_bias");
    for (int p = 0; p < shape.problems(); p++) {
      int row = (p * tokens + t) * d;
      int bias = p % shape.numHeads() * d;
      tener.expandQuery(
          input("q"), row, content, place, bias, d, table, position, rotated, to, p * width);
    }
  }

  @Override
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    for (int h = 0; h < toKeys.length / width; h++) {
      int row = (h * tokens + t) * d;
      tener.expandKey(input("k"), row, d, table, position, toKeys, h * width);
    }
    values(t, tokens, toValues);
  }
}
