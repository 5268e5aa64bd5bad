// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;
import java.util.Arrays;

/// Decoding of [TopK] over a compressed cache: the largest scores of what a query reads.
final class TopKCompressed extends CompressedSession {
  private final Kernels kernels = Kernels.get();
  private final int k;
  private final LargestScores[] largest;
  private final int[][] kept;
  private final float[][] weights;

  TopKCompressed(TopK topK, AttentionShape shape, int threads, CacheOptions cache) {
    super(topK, shape, Attention.defaultScale(shape), Form.DOT_PRODUCT, cache, threads);
    int capacity = shape.keySeqLen();
    k = topK.keysKept(capacity);
    largest = new LargestScores[threads];
    for (int t = 0; t < threads; t++) {
      largest[t] = new LargestScores(new Scratch(), capacity);
    }
    kept = new int[threads][capacity];
    weights = new float[threads][capacity];
  }

  @Override
  public void weigh(
      int worker, int problem, int position, int count, int[] positions, float[] scores, int at) {
    float[] p = weights[worker];
    System.arraycopy(scores, at, p, 0, count);
    int chosen = largest[worker].keep(p, count, k, kept[worker], p);
    kernels.softmax(chosen, p, 0);
    Arrays.fill(scores, at, at + count, 0);
    for (int s = 0; s < chosen; s++) {
      scores[at + kept[worker][s]] = p[s];
    }
  }
}
