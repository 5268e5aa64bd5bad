// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.TokenSession;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.store.CacheOptions;
import dev.crossover.attention.store.CachePolicy;
import dev.crossover.attention.store.CompressedDecoder;
import org.jspecify.annotations.Nullable;

/// Decoding of [Tiled] over a cache that keeps only some positions.
///
/// The first prefix taken together is the prompt: it is compressed once it is there. Norms and
/// rotary positions come before the cache, at the tokens' original positions; an output gate comes
/// after it. Options that change scores by position or denominators are refused, because policies
/// decide by plain softmax weights.
final class CompressedSession extends TokenSession {
  private final ScoreOptions options;
  private final CachePolicy policy;
  private final CompressedDecoder decoder;
  private final @Nullable ScoreRows transform;
  private final float[] query;
  private final float[] key;

  /// @param policy the policy of the options
  CompressedSession(
      Attention attention,
      AttentionShape shape,
      ScoreOptions options,
      double scale,
      CacheOptions cache,
      CachePolicy policy,
      int threads) {
    super(attention, shape);
    this.options = options;
    this.policy = policy;
    boolean plain =
        options.logitSoftcap().isEmpty()
            && options.alibi() == ScoreOptions.Alibi.NONE
            && options.windowSize().isEmpty()
            && !options.sinkLogit();
    if (!plain) {
      throw new IllegalArgumentException(
          attention.name()
              + ": cache="
              + policy.name()
              + " must not be given with logit_softcap, alibi, window_size or sink_logit, but was");
    }
    decoder =
        new CompressedDecoder(
            policy, cache.decodeInterval(), cache.storage(), shape, scale, threads);
    boolean same =
        options.qkNorm() == ScoreOptions.QkNorm.NONE && options.rope() == ScoreOptions.Rope.NONE;
    transform = same ? null : new ScoreRows(new Scratch(), options, shape.headDim());
    query = new float[shape.problems() * shape.headDim()];
    key = new float[shape.batchSize() * shape.numKeyValueHeads() * shape.headDim()];
  }

  @Override
  public long stateBytes() {
    return decoder.stateBytes();
  }

  @Override
  protected void take(int t, int tokens) {
    requirePlainBias();
    if (policy.needsPrompt() && position() == 0) {
      throw new IllegalStateException(
          policy.name() + " must be given a prompt first, but was given a single token");
    }
  }

  @Override
  protected void answer(float[] output) {
    decoder.step(
        moved(input("q"), "q_norm_weight", query, position(), 1),
        moved(input("k"), "k_norm_weight", key, position(), 1),
        input("v"),
        output);
    if (options.outputGate() != Gate.NONE) {
      OutputGate.apply(
          shape.withSeqLens(1, 1), input("output_gate"), options.gatePerHead(), output);
    }
  }

  @Override
  protected boolean takeTogether(int tokens) {
    requirePlainBias();
    if (position() == 0) {
      float[] q = input("q");
      float[] k = input("k");
      decoder.prefill(
          moved(q, "q_norm_weight", new float[q.length], 0, tokens),
          moved(k, "k_norm_weight", new float[k.length], 0, tokens),
          input("v"),
          q,
          tokens,
          null);
      return true;
    }
    int dv = shape.valueDim();
    float[] q = new float[query.length];
    float[] k = new float[key.length];
    float[] v = new float[key.length / shape.headDim() * dv];
    float[] unused = new float[shape.problems() * dv];
    for (int t = 0; t < tokens; t++) {
      row(input("q"), t, tokens, shape.headDim(), q);
      row(input("k"), t, tokens, shape.headDim(), k);
      row(input("v"), t, tokens, dv, v);
      decoder.step(
          moved(q, "q_norm_weight", query, position() + t, 1),
          moved(k, "k_norm_weight", key, position() + t, 1),
          v,
          unused);
    }
    return true;
  }

  /// Row t of every head.
  private static void row(float[] from, int t, int tokens, int width, float[] to) {
    for (int h = 0; h < to.length / width; h++) {
      System.arraycopy(from, (h * tokens + t) * width, to, h * width, width);
    }
  }

  /// Rows behind norm and rotation; themselves where there is neither.
  private float[] moved(float[] rows, String weight, float[] into, int first, int tokens) {
    ScoreRows change = transform;
    if (change == null) {
      return rows;
    }
    if (hasInput("rope_frequencies")) {
      change.frequencies(input("rope_frequencies"));
    }
    int d = shape.headDim();
    float[] weights =
        options.qkNorm() != ScoreOptions.QkNorm.NONE && hasInput(weight) ? input(weight) : null;
    for (int r = 0; r < rows.length / d; r++) {
      change.forward(rows, r * d, weights, first + r % tokens, into, r * d);
    }
    return into;
  }

  private void requirePlainBias() {
    if (hasInput("bias")) {
      throw new IllegalArgumentException("tiled: decoding inputs must not contain bias, but did");
    }
  }

  @Override
  protected void forget() {
    decoder.reset();
  }
}
