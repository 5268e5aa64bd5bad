// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.VALUE_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.recurrent.UpdateRule;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;

/// What recurrences over a matrix state `[d, dv]` per head have in common: capabilities, the state
/// tensors, and typical draws of gates.
public final class States {
  private States() {}

  /// Causal by construction, any padding, a value width of its own, decoding, gradients.
  static Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .valueDim(true)
        .decoding(true)
        .gradients(true);
  }

  /// `q`, `k`, `v`, the mechanism's own tensors, and the optional `initial_state`.
  static List<TensorSpec> inputs(AttentionShape s, TensorSpec... own) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.addAll(List.of(own));
    specs.add(initialState(s));
    return List.copyOf(specs);
  }

  /// The optional state before position 0.
  public static TensorSpec initialState(AttentionShape s) {
    return TensorSpec.optional(
        "initial_state",
        "S before the first token",
        Draws::gaussian,
        s,
        BATCH,
        HEADS,
        HEAD_DIM,
        VALUE_DIM);
  }

  /// The state after the last position.
  static List<TensorSpec> results(AttentionShape s) {
    return List.of(
        TensorSpec.result(
            "final_state", "S after the last token", s, BATCH, HEADS, HEAD_DIM, VALUE_DIM));
  }

  /// A tensor, or an empty array if it is absent: an input not given, a gradient not asked for.
  public static float[] place(BoundTensors tensors, String name) {
    return tensors.has(name) ? tensors.get(name) : UpdateRule.UNWANTED;
  }

  /// Adds to a parameter `[heads, width]` the sums of rows that were formed chunk by chunk, over
  /// chunks and batch entries in their order.
  ///
  /// @param parts `[problems, chunks, width]`
  static void addParts(float[] parts, int width, int heads, int problems, float[] place) {
    int chunks = problems == 0 ? 0 : parts.length / width / problems;
    for (int e = 0; e < place.length; e++) {
      double sum = 0;
      for (int problem = e / width; problem < problems; problem += heads) {
        for (int part = problem * chunks; part < (problem + 1) * chunks; part++) {
          sum += parts[part * width + e % width];
        }
      }
      place[e] += (float) sum;
    }
  }

  /// Elementwise log σ(x) / τ of x ~ N(0, 1): log gates of trained gated models.
  static Tensor logSigmoid(long seed, double tau, int... shape) {
    Tensor tensor = Draws.gaussian(seed, shape);
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) (-Math.log1p(Math.exp(-data[i])) / tau);
    }
    return tensor;
  }

  /// Elementwise σ(x) of x ~ N(0, 1): write strengths of trained delta rules.
  static Tensor sigmoid(long seed, int... shape) {
    Tensor tensor = Draws.gaussian(seed, shape);
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) (1 / (1 + Math.exp(-data[i])));
    }
    return tensor;
  }

  /// Time steps, log-uniform in [1e-3, 0.1].
  public static Tensor timeSteps(long seed, int... shape) {
    Tensor tensor = Draws.uniform(seed, Math.log(1e-3), Math.log(0.1), shape);
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) Math.exp(data[i]);
    }
    return tensor;
  }

  /// Elementwise −A·dt with A uniform from `least` to 16 and dt as [#timeSteps]: logarithms of
  /// decay of trained state-space models.
  static Tensor negativeRates(long seed, double least, int... shape) {
    Tensor tensor = timeSteps(Draws.seedFor(seed, "time_step"), shape);
    Tensor rates = Draws.uniform(Draws.seedFor(seed, "decay_rate"), least, 16, shape);
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] *= -rates.data()[i];
    }
    return tensor;
  }

  /// `log_decay` with one number per head and token.
  static TensorSpec logDecayPerToken(AttentionShape s, double leastRate) {
    return TensorSpec.input(
        "log_decay",
        "log decay, <= 0, -A dt: A uniform in ("
            + (int) leastRate
            + ", 16), dt log-uniform in [1e-3, 0.1]",
        (seed, shape) -> negativeRates(seed, leastRate, shape),
        s,
        BATCH,
        HEADS,
        KEY);
  }

  /// `log_decay` with one number per head, token and channel.
  static TensorSpec logDecayPerChannel(AttentionShape s) {
    return TensorSpec.input(
        "log_decay",
        "log decay, <= 0, -A dt: A uniform in (0, 16), dt log-uniform in [1e-3, 0.1]",
        (seed, shape) -> negativeRates(seed, 0, shape),
        s,
        BATCH,
        HEADS,
        KEY,
        HEAD_DIM);
  }

  /// `beta` of a delta rule.
  static TensorSpec beta(AttentionShape s) {
    return TensorSpec.input(
        "beta", "write strength in (0, 1), sigmoid(N(0,1))", States::sigmoid, s, BATCH, HEADS, KEY);
  }

  /// Completes q, k, v for a delta rule, with rows of q and k divided by their lengths.
  static Tensors adaptNormalised(
      Attention attention, AttentionShape shape, Tensors qkv, long seed) {
    Tensors normalised = qkv.with("q", unitRows(qkv.get("q"))).with("k", unitRows(qkv.get("k")));
    return AttentionInputs.complete(attention, shape, normalised, seed);
  }

  /// Rows divided by their lengths, at least 1e-6.
  static Tensor unitRows(Tensor tensor) {
    Tensor unit = tensor.copy();
    float[] data = unit.data();
    int width = tensor.extent(tensor.rank() - 1);
    for (int row = 0; row < data.length; row += width) {
      double square = 0;
      for (int a = row; a < row + width; a++) {
        square += (double) data[a] * data[a];
      }
      float factor = (float) (1 / Math.max(1e-6, Math.sqrt(square)));
      for (int a = row; a < row + width; a++) {
        data[a] *= factor;
      }
    }
    return unit;
  }

  /// The sizes where heads are those of v and q and k have one per group.
  public static AttentionShape groupedShape(Tensors inputs) {
    Tensor q = inputs.get("q");
    Tensor v = inputs.get("v");
    if (q.rank() != 4 || v.rank() != 4) {
      throw new IllegalArgumentException(
          "q and v must have shape [batch, heads, seqLen, dim], but were " + q + " and " + v);
    }
    return AttentionShape.of(v.extent(0), v.extent(1), v.extent(2), q.extent(3))
        .withValueDim(v.extent(3));
  }

  /// q, k and v with the q and k of the first head of every group.
  public static Tensors grouped(Tensors qkv, int groups) {
    return qkv.with("q", firstOfGroups(qkv.get("q"), groups))
        .with("k", firstOfGroups(qkv.get("k"), groups));
  }

  private static Tensor firstOfGroups(Tensor tensor, int groups) {
    if (tensor.extent(1) == groups) {
      return tensor;
    }
    int size = tensor.extent(2) * tensor.extent(3);
    int sharing = tensor.extent(1) / groups;
    Tensor first = Tensor.zeros(tensor.extent(0), groups, tensor.extent(2), tensor.extent(3));
    for (int g = 0; g < tensor.extent(0) * groups; g++) {
      System.arraycopy(tensor.data(), g * sharing * size, first.data(), g * size, size);
    }
    return first;
  }

  /// Refuses numbers of groups that do not divide the heads.
  public static void requireGroups(String name, int heads, int groups) {
    if (heads % groups != 0) {
      throw new IllegalArgumentException(
          name + ": groups must divide numHeads (" + heads + "), but was " + groups);
    }
  }

  /// Refuses chunk lengths below 1.
  public static void requireChunk(OptionalInt chunkLength) {
    if (chunkLength.isPresent() && chunkLength.getAsInt() < 1) {
      throw new IllegalArgumentException(
          "chunk_length must be >= 1, but was " + chunkLength.getAsInt());
    }
  }
}
