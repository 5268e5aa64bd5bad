// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;

/// Decoding of [Additive] over a compressed cache. A cached key is k W_k of every query head of its
/// group, one beside the other; a query row meets its own part.
final class AdditiveCompressed extends CompressedSession {
  private static final float[] NO_GAIN = {};

  private final Kernels kernels = Kernels.get();
  private final Additive additive;
  private final int a;
  private final int width;
  private final float[] scoreVectors;
  private final float[][] transposed;

  AdditiveCompressed(Additive additive, AttentionShape shape, int threads, CacheOptions cache) {
    super(
        additive,
        shape,
        shape.withHeadDim(additive.width(shape) * shape.groupSize()),
        false,
        1,
        Form.ANY,
        cache,
        threads);
    this.additive = additive;
    a = additive.width(shape);
    width = cached.headDim();
    scoreVectors = new float[shape.numHeads() * a];
    transposed = new float[threads][a * MOST_KEYS];
  }

  @Override
  protected void accept(int t, int tokens) {
    float[] gain = additive.weightNormalisation() ? input("gain") : NO_GAIN;
    Additive.scoreVectors(input("score_vector"), gain, a, scoreVectors);
  }

  /// q W_q of every head, and the tanh's bias, at the place of its part.
  @Override
  protected void queries(int t, int tokens, int position, float[] to) {
    int dq = shape.headDim();
    for (int p = 0; p < shape.problems(); p++) {
      int h = p % shape.numHeads();
      int row = (p * tokens + t) * dq;
      int at = part(p);
      kernels.multiply(
          1, a, dq, input("q"), row, dq, input("w_q"), h * dq * a, a, to, at, a, false);
      if (additive.weightNormalisation()) {
        kernels.add(a, to, at, input("tanh_bias"), h * a, to, at);
      }
    }
  }

  @Override
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    int dk = shape.keyDim();
    for (int p = 0; p < shape.problems(); p++) {
      int h = p % shape.numHeads();
      int row = (p / shape.groupSize() * tokens + t) * dk;
      int at = p / shape.groupSize() * width + p % shape.groupSize() * a;
      kernels.multiply(
          1, a, dk, input("k"), row, dk, input("w_k"), h * dk * a, a, toKeys, at, a, false);
    }
    values(t, tokens, toValues);
  }

  /// First number of a query head's part of its row.
  private int part(int problem) {
    return problem * width + problem % shape.groupSize() * a;
  }

  @Override
  public boolean dotProducts() {
    return false;
  }

  @Override
  public void score(
      int worker,
      int problem,
      float[] q,
      int qo,
      int count,
      float[] keys,
      int ko,
      float[] scores,
      int so) {
    int part = problem % shape.groupSize() * a;
    int head = problem % shape.numHeads();
    float[] columns = transposed[worker];
    kernels.transpose(count, a, keys, ko + part, width, columns, 0, count);
    kernels.additiveScores(
        count, a, q, qo + part, columns, 0, count, scoreVectors, head * a, scores, so);
  }
}
