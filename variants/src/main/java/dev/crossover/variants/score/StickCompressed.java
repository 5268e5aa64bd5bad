// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.kernel.StickPasses;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CompressedSession;
import java.util.Arrays;

/// Decoding of [StickBreaking] over a compressed cache: positions that were dropped break nothing
/// off, so that older ones find more of the stick.
final class StickCompressed extends CompressedSession {
  private static final int KEYS = StickBlock.KEYS;
  private static final float PER_LOG_2 = (float) (1 / Math.log(2));

  private final StickBreaking stick;
  private final Walk[] walks;

  StickCompressed(StickBreaking stick, AttentionShape shape, int threads, CacheOptions cache) {
    super(stick, shape, stick.scaleFor(shape), Form.ANY, cache, threads);
    this.stick = stick;
    walks = new Walk[threads];
    for (int t = 0; t < threads; t++) {
      walks[t] = new Walk();
    }
  }

  @Override
  public void weigh(
      int worker, int problem, int position, int count, int[] positions, float[] scores, int at) {
    int others = stick.attendCurrent() ? count : count - 1;
    double remainder = walks[worker].along(others, scores, at);
    if (others < count) {
      scores[at + others] = 0;
    }
    if (stick.remainderToCurrent()) {
      scores[at + count - 1] += (float) remainder;
    }
  }

  /// One row's walk from the newest key to the oldest, some keys at a time.
  private static final class Walk {
    private final float[] tile = new float[KEYS];
    private final float[] lost = new float[KEYS];
    private final float[] left = new float[1];
    private final float[] here = new float[1];

    /// Turns scores into weights; what is left of the stick.
    double along(int count, float[] scores, int at) {
      double log = 0;
      for (int to = count; to > 0; ) {
        int from = (to - 1) / KEYS * KEYS;
        int keys = to - from;
        for (int s = 0; s < keys; s++) {
          tile[s] = scores[at + from + s] * PER_LOG_2;
        }
        Arrays.fill(tile, keys, KEYS, Float.NEGATIVE_INFINITY);
        StickPasses.logarithms(keys, tile, lost);
        left[0] = (float) log;
        StickPasses.weights(keys, 1, tile, lost, left, here);
        System.arraycopy(tile, 0, scores, at + from, keys);
        log += here[0];
        to = from;
      }
      return Math.pow(2, log);
    }
  }
}
