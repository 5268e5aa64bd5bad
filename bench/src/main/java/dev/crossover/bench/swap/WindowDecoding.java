// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.store.Cached;
import dev.crossover.attention.store.ExpectedAttention;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.layer.Positions;
import dev.crossover.models.model.LanguageModelSession;
import java.util.Arrays;
import java.util.function.IntUnaryOperator;
import java.util.function.LongSupplier;

/// Windows of a byte-level language model as a server reads them: the first half of each is a
/// prompt, the other half is taken token by token, and its bytes are asked.
///
/// A policy that drops positions sees the whole prompt first, as its paper has it; a store alone
/// holds every token from the first one on. Some windows are decoded side by side: no sequence sees
/// another.
final class WindowDecoding {
  /// Tokens of the windows decoded side by side, beyond which their caches become large.
  private static final int MOST_TOKENS = 16_384;

  private static final int STEPS = 32;
  private static final double NANOS = 1e9;

  private final LayerOptions layers;
  private final Parameters parameters;
  private final int threads;

  /// What decoding found.
  ///
  /// @param bits bits per asked byte, by window
  /// @param stateBytes kept of one window at its end, all blocks
  record Decoded(double[] bits, long stateBytes) {}

  /// @param layers options of the blocks
  /// @param parameters that fit them
  /// @throws IllegalArgumentException if a policy cannot have what it looks at, by name
  WindowDecoding(LayerOptions layers, Parameters parameters, int threads) {
    this.layers = unrotated(layers);
    this.parameters = parameters;
    this.threads = threads;
  }

  /// Expected attention looks at queries before their rotation: the mechanism rotates them instead
  /// of the layer, by the same angles.
  private static LayerOptions unrotated(LayerOptions given) {
    LayerOptions layers = given;
    Positions positions = given.positions();
    for (int block = 0; block < given.layers() && positions.isRope(); block++) {
      String mixer = given.mixer(block);
      boolean expects =
          Mechanisms.parse(mixer) instanceof Cached cached
              && cached.cache().policy() instanceof ExpectedAttention;
      if (!expects) {
        return given;
      }
      if (!Mechanisms.name(mixer).equals(new Tiled().name())) {
        throw new IllegalArgumentException(
            "cache must not be expected_attention where the layer rotates queries before the"
                + " mechanism, but was "
                + mixer);
      }
      String form = positions == Positions.ROPE ? "half" : "interleaved";
      layers =
          layers.with("mixer." + block, mixer + ",rope=" + form + ",rope_base=" + given.ropeBase());
    }
    return positions.isRope() ? layers.with("positions", "none") : layers;
  }

  /// Reads windows of a text.
  ///
  /// @param start the first byte of a window
  /// @param windows number of windows
  /// @param n bytes of a window
  /// @throws UnsupportedOperationException if the mechanism does not decode, by name
  Decoded read(byte[] text, IntUnaryOperator start, int windows, int n) {
    double[] nats = new double[windows];
    int together = together(windows, n);
    long stateBytes = 0;
    for (int first = 0; first < windows; first += together) {
      int count = Math.min(together, windows - first);
      LanguageModelSession session =
          new LanguageModelSession(layers, parameters, count, n, threads);
      int[] at = new int[count];
      for (int w = 0; w < count; w++) {
        at[w] = start.applyAsInt(first + w);
      }
      int[][] prompt = new int[n / 2][];
      for (int t = 0; t < prompt.length; t++) {
        prompt[t] = tokens(text, at, t);
      }
      session.read(prompt);
      for (int t = n / 2; t < n; t++) {
        float[] logits = session.step(tokens(text, at, t)).data();
        int vocabulary = logits.length / count;
        for (int w = 0; w < count; w++) {
          int asked = Byte.toUnsignedInt(text[at[w] + t + 1]);
          nats[first + w] += surprise(logits, w * vocabulary, vocabulary, asked) / (n - n / 2);
        }
      }
      stateBytes = session.stateBytes() / count;
    }
    double[] bits = Arrays.stream(nats).map(x -> x * LanguageSwapStudy.BITS_PER_NAT).toArray();
    return new Decoded(bits, stateBytes);
  }

  private static int together(int windows, int n) {
    return Math.clamp(MOST_TOKENS / n, 1, windows);
  }

  private static int[] tokens(byte[] text, int[] at, int t) {
    int[] tokens = new int[at.length];
    for (int w = 0; w < at.length; w++) {
      tokens[w] = Byte.toUnsignedInt(text[at[w] + t]);
    }
    return tokens;
  }

  /// −ln of the softmax of logits at a place.
  private static double surprise(float[] logits, int from, int count, int place) {
    double most = Double.NEGATIVE_INFINITY;
    for (int i = from; i < from + count; i++) {
      most = Math.max(most, logits[i]);
    }
    double total = 0;
    for (int i = from; i < from + count; i++) {
      total += Math.exp(logits[i] - most);
    }
    return Math.log(total) + most - logits[from + place];
  }

  /// Seconds that [#read] takes, from some steps of the model and of one block's cache.
  ///
  /// ```
  /// groups of windows · (n · step of the model + blocks · (n / 2 · token of the prompt at n / 4
  ///                      + compression of 3 n / 4 tokens + n / 2 · token after it))
  /// ```
  ///
  /// @param shape of one block's problem, of one window
  /// @param nanos a clock
  double seconds(AttentionShape shape, int windows, int n, LongSupplier nanos) {
    int together = together(windows, n);
    LanguageModelSession session =
        new LanguageModelSession(layers, parameters, together, 2 * STEPS, threads);
    int[] token = new int[together];
    int[][] first = new int[STEPS][];
    Arrays.fill(first, token);
    session.read(first);
    double model = pace(() -> session.step(token), nanos);
    Cached cached = (Cached) Mechanisms.parse(layers.mixer(0));
    boolean takesPrompt = cached.cache().policy() != null;
    AttentionShape all =
        shape
            .withSeqLens(n + 2 * STEPS, n + 2 * STEPS)
            .withBatchAndHeads(together, shape.numHeads());
    DecodeSession prompt =
        takesPrompt ? cached.core().decode(all, threads) : cached.decode(all, threads);
    Timed early = timed(cached, prompt, all, Math.max(1, n / 4), nanos);
    Timed late = timed(cached, cached.decode(all, threads), all, Math.max(1, 3 * n / 4), nanos);
    double block = n / 2 * (early.step + late.step) + (takesPrompt ? late.prefix : 0);
    return Math.ceilDiv(windows, together) * (n * model + layers.layers() * block);
  }

  private record Timed(double prefix, double step) {}

  private static Timed timed(
      Cached cached, DecodeSession session, AttentionShape shape, int tokens, LongSupplier nanos) {
    Tensors prefix = drawn(cached, shape.withSeqLens(tokens, tokens));
    long before = nanos.getAsLong();
    session.prefill(prefix);
    double seconds = (nanos.getAsLong() - before) / NANOS;
    AttentionShape one = shape.withSeqLens(1, 1);
    Tensors token = drawn(cached, one);
    Tensor out = Tensor.zeros(cached.outputShape(one));
    for (int i = 0; i < STEPS; i++) {
      session.step(token, out);
    }
    return new Timed(seconds, pace(() -> session.step(token, out), nanos));
  }

  private static Tensors drawn(Cached cached, AttentionShape shape) {
    long seed = Draws.DEFAULT_SEED;
    int b = shape.batchSize();
    int n = shape.keySeqLen();
    Tensors qkv =
        Tensors.qkv(
            Draws.gaussian(Draws.seedFor(seed, "q"), b, shape.numHeads(), n, shape.headDim()),
            Draws.gaussian(
                Draws.seedFor(seed, "k"), b, shape.numKeyValueHeads(), n, shape.keyDim()),
            Draws.gaussian(
                Draws.seedFor(seed, "v"), b, shape.numKeyValueHeads(), n, shape.valueDim()));
    return cached.adapt(shape, qkv, seed);
  }

  /// Seconds of one step.
  private static double pace(Runnable step, LongSupplier nanos) {
    long before = nanos.getAsLong();
    for (int i = 0; i < STEPS; i++) {
      step.run();
    }
    return (nanos.getAsLong() - before) / NANOS / STEPS;
  }
}
