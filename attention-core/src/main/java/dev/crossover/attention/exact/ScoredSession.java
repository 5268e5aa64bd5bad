// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// Decoding of [Tiled] under [ScoreOptions]. Keys are cached normed and rotated; a window keeps a
/// ring of window_size positions and the sink tokens, and reads no others.
final class ScoredSession extends TokenSession {
  private static final int TILE = 64;

  private final ScoreOptions options;
  private final float scale;
  private final Kernels kernels = Kernels.get();
  private final int heads = shape.batchSize() * shape.numKeyValueHeads();
  private final int slots;
  private final float[] keys;
  private final float[] values;
  private final float[][] query;
  private final float[][] scores;
  private final float[][] work;
  private final ScoreRows[] transform;
  private final float[] slopes;
  private final Workers workers;
  private final Workers.Task head = this::head;

  ScoredSession(
      Attention attention, AttentionShape shape, ScoreOptions options, double scale, int threads) {
    super(attention, shape);
    this.options = options;
    this.scale = (float) scale;
    long kept = options.windowSize().orElse(shape.keySeqLen()) + (long) options.sinkTokens();
    slots = (int) Math.min(kept, shape.keySeqLen());
    keys = new float[heads * slots * shape.headDim()];
    values = new float[heads * slots * shape.valueDim()];
    workers = new Workers(threads);
    query = new float[threads][2 * shape.headDim()];
    scores = new float[threads][Math.max(1, slots)];
    work = new float[threads][kernels.transposedBScratch(TILE, shape.headDim())];
    transform = new ScoreRows[threads];
    for (int t = 0; t < threads; t++) {
      transform[t] = new ScoreRows(new Scratch(), options, shape.headDim());
    }
    slopes =
        options.alibi() == Alibi.GEOMETRIC
            ? ScoreOptions.geometricSlopes(shape.numHeads())
            : new float[shape.numHeads()];
  }

  /// The slot of a position: sinks first, then the ring of the window.
  private int slot(int position) {
    int sinks = options.sinkTokens();
    if (options.windowSize().isEmpty() || position < sinks) {
      return position;
    }
    return sinks + (position - sinks) % Math.max(1, slots - sinks);
  }

  private int cached() {
    return Math.min(position() + 1, slots);
  }

  @Override
  public long stateBytes() {
    return (long) heads
        * Math.min(position(), slots)
        * (shape.headDim() + shape.valueDim())
        * Float.BYTES;
  }

  @Override
  protected void take(int t, int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("tiled: decoding inputs must not contain bias, but did");
    }
    int d = shape.headDim();
    int dv = shape.valueDim();
    for (ScoreRows rows : transform) {
      rows.frequencies(hasInput("rope_frequencies") ? input("rope_frequencies") : null);
    }
    float[] weight = hasInput("k_norm_weight") ? input("k_norm_weight") : null;
    for (int h = 0; h < heads; h++) {
      int slot = h * slots + slot(position());
      int from = h * tokens + t;
      transform[0].forward(input("k"), from * d, weight, position(), keys, slot * d);
      System.arraycopy(input("v"), from * dv, values, slot * dv, dv);
    }
  }

  @Override
  protected void answer(float[] output) {
    if (options.alibi() == Alibi.GIVEN) {
      System.arraycopy(input("alibi_slopes"), 0, slopes, 0, slopes.length);
    }
    workers.run(shape.problems(), head);
    if (options.outputGate() != Gate.NONE) {
      OutputGate.apply(
          shape.withSeqLens(1, 1), input("output_gate"), options.gatePerHead(), output);
    }
  }

  private void head(int worker, int problem) {
    int d = shape.headDim();
    int dv = shape.valueDim();
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int keyHead = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int position = position();
    int count = cached();
    float[] weight = hasInput("q_norm_weight") ? input("q_norm_weight") : null;
    float[] rows = query[worker];
    transform[worker].forward(input("q"), problem * d, weight, position, rows, 0);
    float[] s = scores[worker];
    int apart = options.sinksApart() ? Math.min(options.sinkTokens(), count) : 0;
    if (apart > 0) {
      int moved = options.position(position, 0);
      transform[worker].forward(input("q"), problem * d, weight, moved, rows, d);
    }
    dots(worker, keyHead, 0, apart, d);
    dots(worker, keyHead, apart, count, 0);
    float cap = (float) options.logitSoftcap().orElse(0);
    for (int slot = 0; slot < count; slot++) {
      float score = scale * s[slot];
      score = cap > 0 ? cap * (float) Math.tanh(score / cap) : score;
      s[slot] =
          options.alibi() == Alibi.NONE
              ? score
              : score - slopes[h] * distance(position, position(slot, position));
    }
    float most = kernels.max(count, s, 0);
    float logit = options.sinkLogit() ? input("sink_logit")[h] : Float.NEGATIVE_INFINITY;
    float reference = Math.max(most, logit);
    double sum = kernels.exp(count, 1, -reference, s, 0, s, 0);
    sum += options.sinkLogit() ? Math.exp((double) logit - reference) : 0;
    Arrays.fill(out, problem * dv, problem * dv + dv, 0);
    kernels.multiply(
        1, dv, count, s, 0, count, values, keyHead * slots * dv, dv, out, problem * dv, dv, true);
    kernels.scale(dv, (float) (1 / sum), out, problem * dv, out, problem * dv);
  }

  private void dots(int worker, int keyHead, int from, int to, int queryAt) {
    int d = shape.headDim();
    for (int slot = from; slot < to; slot += TILE) {
      int count = Math.min(TILE, to - slot);
      kernels.multiplyTransposedB(
          1,
          count,
          d,
          query[worker],
          queryAt,
          d,
          keys,
          (keyHead * slots + slot) * d,
          d,
          scores[worker],
          slot,
          slots,
          false,
          work[worker],
          0);
    }
  }

  /// The position that a slot holds, when the newest is `position`.
  private int position(int slot, int position) {
    int sinks = options.sinkTokens();
    if (options.windowSize().isEmpty() || slot < sinks) {
      return slot;
    }
    int ring = slots - sinks;
    int newest = (position - sinks) % ring;
    int back = Math.floorMod(newest - (slot - sinks), ring);
    return position - back;
  }

  private int distance(int position, int j) {
    return Math.abs(options.position(position, j) - j);
  }
}
