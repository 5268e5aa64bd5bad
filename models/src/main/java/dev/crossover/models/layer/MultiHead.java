// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.HEADS;
import static dev.crossover.attention.Axis.HEAD_DIM;
import static dev.crossover.attention.Axis.KEY;
import static dev.crossover.attention.Axis.ONE;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.Elementary.Function;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// Multi-head attention around any mechanism: maps, short convolutions, activation, heads, norms
/// and rotation of q and k, the mechanism with the inputs it needs from x, norm per head, gate, and
/// output map, in this order; what is absent is skipped.
///
/// | tensor | shape | |
/// |--------|-------|-|
/// | `query_weight`, `key_weight`, `value_weight` | `[H d, D]`, `[Hkv d, C]`, `[Hkv dv, C]` | or `packed_weight` `[3 D, D]`; 2 H and 2 Hkv of differential attention |
/// | `query_conv_weight`, … | `[channels, taps]` | optional, each with `…_bias` |
/// | `beta_weight`, `time_step_weight` | `[H, D]` | delta rules; Mamba-2, Gated DeltaNet |
/// | `decay_log`, `skip` | `[H]` | Mamba-2, Gated DeltaNet |
/// | `decay_down_weight`, `decay_up_weight` | `[r, D]`, `[H d, r]` | GLA |
/// | `latent_weight`, `key_rope_weight` | `[r, C]`, `[dr, C]` | multi-head latent attention, instead of key and value maps |
/// | `gate_NAME_weight` | `[H, D]` | branch gates of NSA, forget gate of RFA |
/// | `head_norm.weight` | `[dv]` | optional |
/// | `gate_weight`, `output_weight` | `[H dv, D]`, `[D, H dv]` | |
///
/// The mechanism's own parameters stand beside them under their names.
final class MultiHead {
  private final Graph graph;

  private final Parameters parameters;
  private final LayerOptions options;
  private final Attention mechanism;
  private final String prefix;
  private final @Nullable String student;
  private final Value x;
  private final Value context;
  private final boolean cross;
  private final boolean causal;
  private final Padding padding;
  private final @Nullable Decoding decoding;
  private final int heads;
  private final int keyValueHeads;

  /// @param prefix of the names of the parameters
  /// @param student prefix of tensors that replace those of `prefix`, or null
  /// @param context what keys and values are made of; null for self-attention
  /// @param padding of the keys
  MultiHead(
      Graph graph,
      LayerOptions options,
      Attention mechanism,
      String prefix,
      @Nullable String student,
      Value x,
      @Nullable Value context,
      boolean causal,
      Padding padding,
      @Nullable Decoding decoding) {
    this.graph = graph;
    this.parameters = graph.parameters();
    this.options = options;
    this.mechanism = mechanism;
    this.prefix = prefix;
    this.student = student;
    this.x = x;
    this.context = context == null ? x : context;
    this.cross = context != null;
    this.causal = causal;
    this.padding = padding;
    this.decoding = decoding;
    this.heads = options.heads();
    this.keyValueHeads = options.keyValueHeads();
  }

  /// Queries, keys and values of a layer, split into heads.
  record Heads(Value query, @Nullable Value key, Value value) {}

  private @Nullable Parameter find(String name) {
    if (student != null) {
      Parameter own = parameters.find(student + name);
      if (own != null) {
        return own;
      }
    }
    return parameters.find(prefix + name);
  }

  private Parameter get(String name) {
    Parameter parameter = find(name);
    return parameter == null ? parameters.get(prefix + name) : parameter;
  }

  private String name(String of) {
    return (student == null ? prefix : student) + of;
  }

  /// Adds the whole layer.
  Value add() {
    return finish(core(heads()));
  }

  /// Maps, convolutions, activation, heads, norms and rotation.
  Heads heads() {
    if (Mechanisms.takesLatents(mechanism)) {
      return latentHeads();
    }
    boolean shared = find("key_weight") == null && find("packed_weight") == null;
    int maps = maps();
    Rotary rotary = rotary(maps);
    Value query = split(project("query", x, 0), maps * heads, options.qkNorm(), rotary, "query");
    Value value = split(project("value", context, 2), keyValueHeads, false, null, "value");
    Value key =
        shared
            ? null
            : split(
                project("key", context, 1), maps * keyValueHeads, options.qkNorm(), rotary, "key");
    return new Heads(query, key, value);
  }

  /// Queries, and the latents that keys and values are made of in the mechanism, as one head.
  private Heads latentHeads() {
    boolean plain = !options.qkNorm() && !options.projectionActivation();
    if (!plain || options.positions().isRope() || find("query_conv_weight") != null) {
      throw new IllegalArgumentException(
          prefix
              + " must have no norms, rotation, convolutions or activation of queries and keys"
              + " around "
              + mechanism.name()
              + ", which makes keys of latents and rotates a part of them itself");
    }
    Value query = split(project("query", x, 0), heads, false, null, "query");
    return new Heads(query, null, single("latent"));
  }

  /// A map of tokens that all heads share.
  private Value single(String kind) {
    Value rows =
        Linear.add(graph, name(kind), context, get(kind + "_weight"), find(kind + "_bias"));
    return split(rows, 1, false, null, kind);
  }

  /// Softmax maps of a head; packed weights hold as many channels of each kind.
  private int maps() {
    Parameter packed = find("packed_weight");
    int third = packed == null ? 0 : packed.value().extent(0) / 3;
    int d = (packed == null ? get("query_weight").value().extent(0) : third) / heads;
    int dv = (packed == null ? get("value_weight").value().extent(0) : third) / keyValueHeads;
    int n = x.rows().length();
    int nk = context.rows().length();
    return Mechanisms.maps(mechanism, new AttentionShape(1, heads, keyValueHeads, n, nk, d, d, dv));
  }

  private @Nullable Rotary rotary(int maps) {
    if (cross || !options.positions().isRope()) {
      return null;
    }
    Parameter weight = find("query_weight");
    int channels =
        weight == null ? get("packed_weight").value().extent(0) / 3 : weight.value().extent(0);
    return new Rotary(
        graph.layout(),
        decoding == null ? x.rows().length() : decoding.longest(),
        channels / (maps * heads),
        options.positions() == Positions.ROPE_INTERLEAVED,
        options.ropeBase(),
        0);
  }

  private Value project(String kind, Value from, int third) {
    Parameter weight = find(kind + "_weight");
    Value y;
    if (weight == null) {
      Parameter packed = get("packed_weight");
      int out = packed.value().extent(0) / 3;
      y = Linear.add(graph, name(kind), from, packed, find("packed_bias"), third * out, out);
    } else {
      y = Linear.add(graph, name(kind), from, weight, find(kind + "_bias"));
    }
    Parameter taps = find(kind + "_conv_weight");
    if (taps != null) {
      Parameter bias = find(kind + "_conv_bias");
      y = ShortConvolution.add(graph, name(kind + "_conv"), y, taps, bias, decoding);
    }
    return options.projectionActivation()
        ? Activation.add(graph, name(kind + "_activation"), y, Function.SILU)
        : y;
  }

  private Value split(
      Value rows, int count, boolean normalised, @Nullable Rotary rotary, String kind) {
    return SplitHeads.add(graph, name(kind + "_heads"), rows, count, normalised, rotary, decoding);
  }

  /// The mechanism with the inputs it needs, `[batch, heads, n, dv]`.
  Value core(Heads split) {
    AttentionShape shape =
        new AttentionShape(
            x.rows().sequences(),
            heads,
            keyValueHeads,
            x.rows().length(),
            context.rows().length(),
            split.query().dim(),
            split.key() == null ? split.query().dim() : split.key().dim(),
            valueDim(split));
    MechanismNode.Builder node = new MechanismNode.Builder(mechanism, causal, padding);
    Value value = split.value();
    Value step = null;
    if (usesTimeSteps(shape)) {
      step = timeStep();
      if (!takes(shape, "beta")) {
        value = ScaledValues.add(graph, name("scaled_values"), value, step);
      }
    }
    for (TensorSpec spec : mechanism.inputs(shape)) {
      switch (spec.name()) {
        case "q", "qk" -> node.value(spec.name(), split.query(), false);
        case "latent" -> node.rows("latent", split.value());
        case "key_rope" -> node.rows("key_rope", single("key_rope"));
        case "k" -> node.value("k", requireKey(split.key()), false);
        case "v" -> node.value("v", value, false);
        case "beta" -> node.value("beta", beta(), true);
        case "log_decay" -> {
          boolean perChannel = spec.has(HEAD_DIM);
          node.value(
              "log_decay", perChannel ? gates() : decay(Objects.requireNonNull(step)), !perChannel);
        }
        default -> other(node, spec);
      }
    }
    if (!cross && options.positions() == Positions.ALIBI) {
      alibi(node, shape);
    }
    Value out = node.add(graph, name("heads_out"), split.query(), shape, decoding);
    Parameter skip = find("skip");
    return skip == null ? out : Skip.add(graph, name("skipped"), out, split.value(), skip);
  }

  private int valueDim(Heads split) {
    return Mechanisms.takesLatents(mechanism)
        ? get("value_up").value().extent(1)
        : split.value().dim();
  }

  private Value requireKey(@Nullable Value key) {
    if (key == null) {
      throw new IllegalArgumentException(
          prefix + " must hold key_weight for " + mechanism.name() + ", but does not");
    }
    return key;
  }

  private boolean takes(AttentionShape shape, String input) {
    return mechanism.inputs(shape).stream().anyMatch(spec -> spec.name().equals(input));
  }

  /// Whether decay is one number per head and token: a discretised state space, whose writes are
  /// scaled by the step unless a delta rule scales them itself.
  private boolean usesTimeSteps(AttentionShape shape) {
    return mechanism.inputs(shape).stream()
        .anyMatch(s -> s.name().equals("log_decay") && !s.has(HEAD_DIM));
  }

  /// Parameters under their names, options that are on, gates per head; everything else is refused.
  private void other(MechanismNode.Builder node, TensorSpec spec) {
    Parameter own = find(spec.name());
    if (own != null && spec.role() != TensorSpec.Role.INPUT) {
      node.parameter(spec.name(), own);
      return;
    }
    if (spec.name().equals("gate") || spec.name().startsWith("gate_")) {
      String kind = spec.name().equals("gate") ? "gate_forget" : spec.name();
      Parameter weight =
          spec.role() == TensorSpec.Role.INPUT ? get(kind + "_weight") : find(kind + "_weight");
      if (weight != null) {
        Value z = Linear.add(graph, name(kind), own(), weight, find(kind + "_bias"));
        int factor = options.zeroInputs().contains(spec.name()) ? 0 : 1;
        Value gate =
            HeadInput.add(graph, name(kind + "_heads"), z, heads, Function.SIGMOID, factor);
        node.value(spec.name(), gate, spec.axes().getLast().isPosition());
      }
      return;
    }
    if (spec.role() == TensorSpec.Role.INPUT) {
      String why =
          spec.differentiable()
              ? ""
              : ", which learns nothing from the output: it is trained by a loss of its own";
      throw new IllegalArgumentException(
          prefix
              + " must hold a mechanism whose inputs a layer makes, but "
              + mechanism.name()
              + " needs "
              + spec.name()
              + why);
    }
  }

  /// The layer's input, which gates and steps are made of; not defined in cross-attention.
  private Value own() {
    if (cross) {
      throw new IllegalArgumentException(
          prefix + " must hold no gated mechanism in cross-attention, but was " + mechanism.name());
    }
    return x;
  }

  private Value beta() {
    Value z = Linear.add(graph, name("beta"), own(), get("beta_weight"), find("beta_bias"));
    return HeadInput.add(graph, name("beta_heads"), z, heads, Function.SIGMOID, options.betaMax());
  }

  private Value timeStep() {
    Value z =
        Linear.add(
            graph, name("time_step"), own(), get("time_step_weight"), find("time_step_bias"));
    return HeadInput.add(graph, name("time_step_heads"), z, heads, Function.SOFTPLUS, 1);
  }

  private Value decay(Value step) {
    return TimeStepDecay.add(graph, name("log_decay"), step, get("decay_log"));
  }

  private Value gates() {
    Value low =
        Linear.add(
            graph, name("decay_down"), own(), get("decay_down_weight"), find("decay_down_bias"));
    Value z =
        Linear.add(graph, name("decay_up"), low, get("decay_up_weight"), find("decay_up_bias"));
    return HeadInput.add(
        graph, name("log_decay"), z, heads, Function.LOG_SIGMOID, 1 / options.decayTemperature());
  }

  private void alibi(MechanismNode.Builder node, AttentionShape shape) {
    boolean takesBias =
        mechanism.inputs(shape).stream()
            .anyMatch(
                spec ->
                    spec.name().equals("bias")
                        && spec.axes().equals(List.of(ONE, HEADS, QUERY, KEY)));
    if (decoding != null) {
      throw new IllegalArgumentException("positions must not be alibi when decoding, but were");
    }
    if (!takesBias) {
      throw new IllegalArgumentException(
          "positions must not be alibi for a mechanism without an additive bias, but mixer was "
              + mechanism.name());
    }
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    Tensor bias = Tensor.of(graph.layout().floats((long) heads * nq * nk), 1, heads, nq, nk);
    double[] slopes = Alibi.slopes(heads);
    for (int h = 0; h < heads; h++) {
      for (int i = 0; i < nq; i++) {
        for (int j = 0; j < nk; j++) {
          bias.data()[(h * nq + i) * nk + j] = (float) (-slopes[h] * Math.abs(i + nk - nq - j));
        }
      }
    }
    node.constant("bias", bias);
  }

  /// Heads side by side, norm per head, gate, output map.
  Value finish(Value out) {
    Value y = MergeHeads.add(graph, name("merged"), out);
    String norm = options.headNorm();
    if (!norm.equals("none")) {
      y =
          Norm.add(
              graph,
              name("head_norm.out"),
              y,
              get("head_norm.weight"),
              find("head_norm.bias"),
              norm.equals("layer"),
              options.headNormEps());
    }
    Parameter gate = find("gate_weight");
    if (gate != null) {
      Value z = Linear.add(graph, name("gate"), x, gate, find("gate_bias"));
      y = Activation.product(graph, name("gated"), z, Function.SILU, y, Function.NONE);
    }
    return Linear.add(graph, name("output"), y, get("output_weight"), find("output_bias"));
  }
}
