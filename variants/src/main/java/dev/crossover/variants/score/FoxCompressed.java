// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;

/// Decoding of [Fox] without a window over a compressed cache. The forget gates' sums c stay for
/// every position, in float64: eight bytes a query head beside the rows of those that are kept.
final class FoxCompressed extends CompressedSession {
  private final Kernels kernels = Kernels.get();
  private final int capacity = shape.keySeqLen();

  /// `[batch, heads, capacity]`.
  private final double[] sums = new double[shape.problems() * capacity];

  FoxCompressed(Fox fox, AttentionShape shape, int threads, CacheOptions cache) {
    super(fox, shape, fox.scaleFor(shape), Form.ANY, cache, threads);
  }

  /// c of the token: those of the prompt come before its weights.
  @Override
  protected void queries(int t, int tokens, int position, float[] to) {
    super.queries(t, tokens, position, to);
    for (int p = 0; p < shape.problems(); p++) {
      int at = p * capacity + position;
      double before = position == 0 ? 0 : sums[at - 1];
      sums[at] = before + Math.max(Fox.LEAST_LOG, input("log_decay")[p * tokens + t]);
    }
  }

  /// Softmax of the scores plus c of the query minus c of the key.
  @Override
  public void weigh(
      int worker, int problem, int position, int count, int[] positions, float[] scores, int at) {
    int row = problem * capacity;
    double own = sums[row + position];
    for (int s = 0; s < count; s++) {
      scores[at + s] += (float) (own - sums[row + positions[s]]);
    }
    kernels.softmax(count, scores, at);
  }

  @Override
  public long stateBytes() {
    return super.stateBytes() + (long) Double.BYTES * shape.problems() * position();
  }
}
