// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachePolicy;
import dev.crossover.attention.store.CompressedSession;
import org.jspecify.annotations.Nullable;

/// Decoding of [Tiled] over a cache that keeps only some positions.
///
/// Norms and rotary positions come before the cache, at the tokens' original positions; a cap,
/// ALiBi's slopes and a sink logit make the weights that policies look at; an output gate comes
/// after it. A window is refused, because it says itself what is kept.
final class TiledCompressed extends CompressedSession {
  private final Kernels kernels = Kernels.get();
  private final ScoreOptions options;
  private final ScoreRows transform;
  private final float cap;
  private float[] slopes;

  TiledCompressed(
      Tiled tiled,
      AttentionShape shape,
      double scale,
      CacheOptions cache,
      CachePolicy policy,
      int threads) {
    super(tiled, shape, scale, form(tiled.options()), cache, threads);
    options = tiled.options();
    if (options.windowSize().isPresent()) {
      throw new IllegalArgumentException(
          "tiled: cache must not be given with window_size, but was " + policy.name());
    }
    transform = new ScoreRows(new Scratch(), options, shape.headDim());
    cap = (float) options.logitSoftcap().orElse(0);
    slopes =
        options.alibi() == Alibi.GEOMETRIC
            ? ScoreOptions.geometricSlopes(shape.numHeads())
            : new float[0];
  }

  private static Form form(ScoreOptions options) {
    if (options.alibi() != Alibi.NONE) {
      return Form.ANY;
    }
    return options.logitSoftcap().isPresent() || options.sinkLogit()
        ? Form.DOT_PRODUCT
        : Form.SOFTMAX;
  }

  @Override
  protected void accept(int t, int tokens) {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("tiled: decoding inputs must not contain bias, but did");
    }
    transform.frequencies(hasInput("rope_frequencies") ? input("rope_frequencies") : null);
    if (options.alibi() == Alibi.GIVEN) {
      slopes = input("alibi_slopes");
    }
  }

  @Override
  protected void queries(int t, int tokens, int position, float[] to) {
    super.queries(t, tokens, position, to);
    move("q_norm_weight", position, to);
  }

  @Override
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    super.keys(t, tokens, position, toKeys, toValues);
    move("k_norm_weight", position, toKeys);
  }

  /// Norm and rotation of some rows, in place.
  private void move(String weight, int position, float[] rows) {
    float[] weights = weight(weight);
    for (int at = 0; at < rows.length; at += shape.headDim()) {
      transform.forward(rows, at, weights, position, rows, at);
    }
  }

  private float @Nullable [] weight(String name) {
    return hasInput(name) ? input(name) : null;
  }

  @Override
  public void weigh(
      int worker, int problem, int position, int count, int[] positions, float[] scores, int at) {
    int head = problem % shape.numHeads();
    for (int s = 0; cap > 0 && s < count; s++) {
      scores[at + s] = cap * (float) Math.tanh(scores[at + s] / cap);
    }
    for (int s = 0; options.alibi() != Alibi.NONE && s < count; s++) {
      scores[at + s] -= slopes[head] * (position - positions[s]);
    }
    if (!options.sinkLogit()) {
      kernels.softmax(count, scores, at);
      return;
    }
    float logit = input("sink_logit")[head];
    float reference = Math.max(kernels.max(count, scores, at), logit);
    double sum = Math.exp((double) logit - reference);
    sum += kernels.exp(count, 1, -reference, scores, at, scores, at);
    kernels.scale(count, (float) (1 / sum), scores, at, scores, at);
  }

  @Override
  protected void answer(float[] read, float[] output) {
    super.answer(read, output);
    if (options.outputGate() != Gate.NONE) {
      OutputGate.apply(
          shape.withSeqLens(1, 1), input("output_gate"), options.gatePerHead(), output);
    }
  }
}
