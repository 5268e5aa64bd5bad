// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TokenSession;
import org.jspecify.annotations.Nullable;

/// Decoding over a cache with [CacheOptions]: stored in fewer bits, and only some positions of it.
///
/// The first prefix taken together is the prompt: it is compressed once it is there. Subclasses say
/// what of a token is cached, with which rows it is met, and how scores become weights; by default
/// keys and values are cached as given and weights are their softmax.
public abstract class CompressedSession extends TokenSession implements CacheWeights {
  /// Batch entries, heads and widths of what is cached.
  protected final AttentionShape cached;

  private final @Nullable CachePolicy policy;
  private final CompressedDecoder decoder;
  private final float[] queries;
  private final float[] keys;
  private final float[] values;
  private final float[] answers;

  /// A session that caches keys and values as given.
  ///
  /// @param scale factor on the dot products
  /// @param form of the weights
  protected CompressedSession(
      Attention attention,
      AttentionShape shape,
      double scale,
      Form form,
      CacheOptions cache,
      int threads) {
    this(attention, shape, shape, false, scale, form, cache, threads);
  }

  /// @param cached batch entries, heads and widths of what is cached, as many query heads and the
  ///     same `keySeqLen` as in the shape
  /// @param latent whether a value is the first `valueDim` numbers of its key and not stored again
  /// @param scale factor on the dot products
  /// @param form of the weights
  /// @throws IllegalArgumentException if the policy supposes another form, by name
  protected CompressedSession(
      Attention attention,
      AttentionShape shape,
      AttentionShape cached,
      boolean latent,
      double scale,
      Form form,
      CacheOptions cache,
      int threads) {
    super(attention, shape);
    this.cached = cached;
    policy = cache.policy();
    if (policy != null && policy.supposes().compareTo(form) > 0) {
      throw new IllegalArgumentException(
          attention.name()
              + ": cache must go by weights, positions or keys alone, because the mechanism's"
              + " weights are not the "
              + (policy.supposes() == Form.SOFTMAX ? "softmax of plain" : "order of")
              + " dot products, but was "
              + policy.name());
    }
    decoder = new CompressedDecoder(cache, cached, scale, latent, threads);
    queries = new float[cached.problems() * cached.headDim()];
    int heads = cached.batchSize() * cached.numKeyValueHeads();
    keys = new float[heads * cached.headDim()];
    values = new float[latent ? 0 : heads * cached.valueDim()];
    answers = new float[cached.problems() * cached.valueDim()];
  }

  /// Refuses inputs that do not fit before anything is stored, and takes what else the mechanism
  /// keeps of row `t`.
  protected void accept(int t, int tokens) {}

  /// Writes the query rows of row `t` of the bound inputs as they meet the cache.
  ///
  /// @param position of the token
  /// @param to `[batch, heads, headDim]` of [#cached]
  protected void queries(int t, int tokens, int position, float[] to) {
    rows(input("q"), cached.problems(), t, tokens, to);
  }

  /// Writes the rows of row `t` of the bound inputs that are cached.
  ///
  /// @param position of the token
  /// @param toKeys `[batch, kvHeads, headDim]` of [#cached]
  /// @param toValues `[batch, kvHeads, valueDim]`; empty where values are parts of keys
  protected void keys(int t, int tokens, int position, float[] toKeys, float[] toValues) {
    rows(input("k"), cached.batchSize() * cached.numKeyValueHeads(), t, tokens, toKeys);
    values(t, tokens, toValues);
  }

  /// Copies the values of row `t` of the bound inputs.
  protected final void values(int t, int tokens, float[] to) {
    rows(input("v"), cached.batchSize() * cached.numKeyValueHeads(), t, tokens, to);
  }

  /// Turns what was read from the cache into the output.
  ///
  /// @param read `[batch, heads, valueDim]` of [#cached]
  protected void answer(float[] read, float[] output) {
    System.arraycopy(read, 0, output, 0, read.length);
  }

  /// Copies row `t` of every head.
  private static void rows(float[] from, int heads, int t, int tokens, float[] to) {
    int width = to.length / heads;
    for (int h = 0; h < heads; h++) {
      System.arraycopy(from, (h * tokens + t) * width, to, h * width, width);
    }
  }

  @Override
  public long stateBytes() {
    return decoder.stateBytes();
  }

  @Override
  protected final void take(int t, int tokens) {
    accept(t, tokens);
    if (policy != null && policy.needsPrompt() && position() == 0) {
      throw new IllegalStateException(
          policy.name() + " must be given a prompt first, but was given a single token");
    }
  }

  @Override
  protected final void answer(float[] output) {
    step(0, 1, position());
    answer(answers, output);
  }

  private void step(int t, int tokens, int position) {
    queries(t, tokens, position, queries);
    keys(t, tokens, position, keys, values);
    decoder.weighBy(this);
    decoder.step(queries, keys, values, answers);
  }

  @Override
  protected final boolean takeTogether(int tokens) {
    int first = position();
    if (first > 0) {
      for (int t = 0; t < tokens; t++) {
        accept(t, tokens);
        step(t, tokens, first + t);
      }
      return true;
    }
    float[] q = new float[queries.length * tokens];
    float[] k = new float[keys.length * tokens];
    float[] v = new float[values.length * tokens];
    for (int t = 0; t < tokens; t++) {
      accept(t, tokens);
      queries(t, tokens, t, queries);
      keys(t, tokens, t, keys, values);
      spread(queries, cached.headDim(), t, tokens, q);
      spread(keys, cached.headDim(), t, tokens, k);
      spread(values, cached.valueDim(), t, tokens, v);
    }
    decoder.weighBy(this);
    decoder.prefill(q, k, v, input("q"), tokens, null);
    return true;
  }

  /// Copies the rows of every head to row t of its block.
  private static void spread(float[] from, int width, int t, int tokens, float[] to) {
    for (int h = 0; h < from.length / width; h++) {
      System.arraycopy(from, h * width, to, (h * tokens + t) * width, width);
    }
  }

  @Override
  protected void forget() {
    decoder.reset();
  }
}
