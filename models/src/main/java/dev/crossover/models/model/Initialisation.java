// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import static dev.crossover.attention.Axis.HEAD_DIM;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.FeedForwardKind;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.layer.NormKind;
import dev.crossover.models.layer.Positions;
import java.util.List;
import java.util.Set;

/// Starting values of a model.
///
/// | scheme | weights | embedding | biases | output and down weights |
/// |--------|---------|-----------|--------|-------------------------|
/// | `gpt` (Radford 2019) | N(0, 0.02²) | N(0, 0.02²) | 0 | N(0, (0.02/√(2 L))²), L blocks |
/// | `fan_in` (PyTorch) | U(±1/√in) | N(0, 1) | U(±1/√in) | as weights |
///
/// In both: norms 1 and 0; LSTM and GRU U(±1/√H); short convolutions as PyTorch's, U(±1/√taps);
/// Mamba-2's and Gated DeltaNet's steps log-uniform in [1e-3, 0.1] through the inverse of softplus,
/// decay rates U(1, 16); what belongs to a mechanism as the mechanism draws it. Every tensor has a
/// stream of its own, named after it, so that adding one changes no other.
public final class Initialisation {
  private static final double STANDARD_DEVIATION = 0.02;

  /// Given by a formula, not trained: absent from the store, so that the mechanism computes them.
  private static final Set<String> FORMULAS = Set.of("decay", "slopes");

  /// Norms inside a mechanism that its authors train: of differential attention and of latents.
  /// Other options stay off.
  private static final Set<String> OWN_NORMS = Set.of("norm_weight", "latent_norm_weight");

  private final LayerOptions options;
  private final ModelSizes sizes;
  private final long seed;
  private final int width;
  private final int blocks;
  private final Parameters parameters = new Parameters();

  private Initialisation(LayerOptions options, ModelSizes sizes, int blocks, long seed) {
    this.options = options;
    this.sizes = sizes;
    this.seed = seed;
    this.width = sizes.size("width");
    this.blocks = blocks;
  }

  /// The parameters of a fresh model.
  ///
  /// @param seed same seed, same numbers
  public static Parameters of(ModelKind kind, LayerOptions options, ModelSizes sizes, long seed) {
    boolean both = kind == ModelKind.ENCODER_DECODER;
    int blocks = both ? options.encoderLayers() + options.decoderLayers() : options.layers();
    Initialisation start = new Initialisation(options, sizes, blocks, seed);
    start.model(kind);
    return start.parameters;
  }

  private void model(ModelKind kind) {
    table("embedding.weight", sizes.size("vocabulary"));
    boolean both = kind == ModelKind.ENCODER_DECODER;
    int target = sizes.size("target_vocabulary");
    if (both && target > 0) {
      table("target_embedding.weight", target);
    }
    if (options.positions() == Positions.LEARNED) {
      gaussian("positions.weight", STANDARD_DEVIATION, sizes.size("max_length"), width);
    }
    if (both) {
      stack("encoder.", options.encoderLayers(), false);
      stack("decoder.", options.decoderLayers(), true);
    } else {
      stack("", options.layers(), false);
    }
    if (kind == ModelKind.AUTOENCODER) {
      for (int i = 1; i <= 2; i++) {
        norm("decoder.norm" + i + ".");
        map("decoder.map" + i + "_weight", width, width);
        bias("decoder.map" + i + "_bias", width, width);
      }
    }
    int classes = target > 0 && both ? target : sizes.size("vocabulary");
    if (kind == ModelKind.CLASSIFIER) {
      map("head.weight", sizes.size("classes"), width);
      bias("head.bias", sizes.size("classes"), width);
    } else if (!sizes.is("tied")) {
      map("head.weight", classes, width);
      if (sizes.is("head_bias")) {
        bias("head.bias", classes, width);
      }
    }
  }

  private void stack(String prefix, int count, boolean crossed) {
    for (int i = 0; i < count; i++) {
      String block = prefix + "layers." + i + ".";
      norm(block + "norm1.");
      mixer(block + "mixer.", i);
      if (crossed) {
        norm(block + "norm_cross.");
        attention(block + "cross.", options.cross(), true);
      }
      if (options.feedForward() != FeedForwardKind.NONE) {
        norm(block + "norm2.");
        feedForward(block + "feed_forward.");
      }
    }
    if (options.preNorm()) {
      norm(prefix + "final_norm.");
    }
  }

  private void norm(String prefix) {
    constant(prefix + "weight", 1, width);
    if (options.norm() != NormKind.RMS) {
      constant(prefix + "bias", 0, width);
    }
    if (options.norm() == NormKind.BATCH) {
      constant(prefix + "running_mean", 0, width);
      constant(prefix + "running_variance", 1, width);
    }
  }

  private void feedForward(String prefix) {
    boolean gated = options.feedForward() == FeedForwardKind.SWIGLU;
    int given = sizes.size("inner");
    int inner = given > 0 ? given : gated ? (8 * width / 3 + 7) / 8 * 8 : 4 * width;
    boolean biased = sizes.is("feed_forward_bias") && !gated;
    if (gated) {
      map(prefix + "gate_weight", inner, width);
    }
    map(prefix + "up_weight", inner, width);
    last(prefix + "down_weight", width, inner);
    if (biased) {
      bias(prefix + "up_bias", inner, width);
      bias(prefix + "down_bias", width, inner);
    }
  }

  private void mixer(String prefix, int block) {
    String mixer = options.mixer(block);
    switch (Mechanisms.name(mixer)) {
      case "lstm" -> recurrence(prefix, 4);
      case "gru" -> recurrence(prefix, 3);
      case "gated_convolution" -> gatedConvolution(prefix, mixer);
      case "long_convolution" -> longConvolution(prefix);
      default -> attention(prefix, mixer, false);
    }
  }

  private void recurrence(String prefix, int gates) {
    double bound = 1 / Math.sqrt(width);
    uniform(prefix + "input_weight", bound, gates * width, width);
    uniform(prefix + "hidden_weight", bound, gates * width, width);
    uniform(prefix + "input_bias", bound, gates * width);
    uniform(prefix + "hidden_bias", bound, gates * width);
  }

  private void gatedConvolution(String prefix, String mixer) {
    int colon = mixer.indexOf(":width=");
    int taps = colon < 0 ? 2 : Integer.parseInt(mixer.substring(colon + ":width=".length()));
    int in = width * taps;
    if (sizes.isFanIn()) {
      uniform(prefix + "conv_weight", 1 / Math.sqrt(in), 2 * width, width, taps);
    } else {
      gaussian(prefix + "conv_weight", STANDARD_DEVIATION, 2 * width, width, taps);
    }
    bias(prefix + "conv_bias", 2 * width, in);
    last(prefix + "output_weight", width, width);
    bias(prefix + "output_bias", width, width);
  }

  private void longConvolution(String prefix) {
    map(prefix + "input_weight", width, width);
    map(prefix + "gate_weight", width, width);
    bias(prefix + "gate_bias", width, width);
    last(prefix + "output_weight", width, width);
    int taps = sizes.size("max_length");
    Tensor filter = Draws.gaussian(stream(prefix + "filter"), 0.1, taps, width);
    for (int i = 0; i < filter.size(); i++) {
      filter.data()[i] *= (float) Math.exp(-0.2 * (i / width));
    }
    parameters.add(prefix + "filter", filter);
    constant(prefix + "skip", 1, width);
  }

  private void attention(String prefix, String text, boolean cross) {
    Attention mechanism = Mechanisms.parse(text);
    int heads = options.heads();
    int keyHeads = options.keyValueHeads();
    int all = sizes.size("head_dim") > 0 ? sizes.size("head_dim") : width / heads;
    int dv = sizes.size("value_dim") > 0 ? sizes.size("value_dim") : all;
    int n = sizes.size("max_length");
    AttentionShape whole = new AttentionShape(1, heads, keyHeads, n, n, all, all, dv);
    int maps = Mechanisms.maps(mechanism, whole);
    int d = all / maps;
    List<TensorSpec> inputs = mechanism.inputs(whole.withHeadDim(d));
    boolean shared = inputs.stream().anyMatch(spec -> spec.name().equals("qk"));
    boolean latents = Mechanisms.takesLatents(mechanism);
    if (latents && (sizes.is("packed") || sizes.size("conv") > 0)) {
      throw new IllegalArgumentException(
          "packed and conv must be absent for "
              + mechanism.name()
              + ", which makes keys and values of latents, but were given");
    }
    if (sizes.is("packed")) {
      double bound = Math.sqrt(6.0 / (4 * width));
      uniform(prefix + "packed_weight", bound, 3 * width, width);
      if (sizes.is("attention_bias")) {
        constant(prefix + "packed_bias", 0, 3 * width);
      }
    } else {
      projection(prefix + "query", heads * maps * d, cross);
      if (!shared && !latents) {
        projection(prefix + "key", keyHeads * maps * d, cross);
      }
      if (!latents) {
        projection(prefix + "value", keyHeads * dv, cross);
      }
    }
    last(prefix + "output_weight", width, heads * dv);
    if (sizes.is("attention_bias")) {
      bias(prefix + "output_bias", width, heads * dv);
    }
    boolean scaledWrites = inputs.stream().noneMatch(spec -> spec.name().equals("beta"));
    for (TensorSpec spec : inputs) {
      own(prefix, spec, heads, d, scaledWrites);
    }
    if (!cross && !options.headNorm().equals("none")) {
      constant(prefix + "head_norm.weight", 1, dv);
      if (options.headNorm().equals("layer")) {
        constant(prefix + "head_norm.bias", 0, dv);
      }
    }
    if (!cross && sizes.is("gate")) {
      map(prefix + "gate_weight", heads * dv, width);
    }
  }

  private void projection(String name, int channels, boolean cross) {
    map(name + "_weight", channels, width);
    if (sizes.is("attention_bias")) {
      bias(name + "_bias", channels, width);
    }
    int taps = sizes.size("conv");
    if (taps > 0 && !cross) {
      uniform(name + "_conv_weight", 1 / Math.sqrt(taps), channels, taps);
      if (sizes.is("conv_bias")) {
        uniform(name + "_conv_bias", 1 / Math.sqrt(taps), channels);
      }
    }
  }

  /// What a mechanism needs beside queries, keys and values.
  private void own(String prefix, TensorSpec spec, int heads, int d, boolean scaledWrites) {
    String name = spec.name();
    switch (spec.role()) {
      case INPUT -> {
        if (name.equals("latent") || name.equals("key_rope")) {
          map(prefix + name + "_weight", spec.shape().sizes().getLast(), width);
        } else if (name.equals("beta")) {
          map(prefix + "beta_weight", heads, width);
          constant(prefix + "beta_bias", 0, heads);
        } else if (name.equals("log_decay") && spec.has(HEAD_DIM)) {
          int rank = sizes.size("decay_rank");
          map(prefix + "decay_down_weight", rank, width);
          map(prefix + "decay_up_weight", heads * d, rank);
          constant(prefix + "decay_up_bias", 0, heads * d);
        } else if (name.equals("log_decay")) {
          timeSteps(prefix, heads, scaledWrites);
        } else if (name.startsWith("gate_")) {
          map(prefix + name + "_weight", heads, width);
        } else if (name.equals("gate")) {
          map(prefix + "gate_forget_weight", heads, width);
        }
      }
      case PARAMETER -> {
        boolean kept = spec.differentiable() || Parameter.isConstant(name);
        if (kept && !FORMULAS.contains(name)) {
          parameters.add(prefix + name, spec.drawn(stream(prefix + name)));
        }
      }
      default -> {
        if (OWN_NORMS.contains(name)) {
          constant(prefix + name, 1, spec.shape().toArray());
        }
      }
    }
  }

  private void timeSteps(String prefix, int heads, boolean scaledWrites) {
    map(prefix + "time_step_weight", heads, width);
    String name = prefix + "time_step_bias";
    Tensor bias = Draws.uniform(stream(name), Math.log(1e-3), Math.log(0.1), heads);
    for (int h = 0; h < heads; h++) {
      bias.data()[h] = (float) Math.log(Math.expm1(Math.exp(bias.data()[h])));
    }
    parameters.add(name, bias);
    String rates = prefix + "decay_log";
    Tensor decay = Draws.uniform(stream(rates), 1, 16, heads);
    for (int h = 0; h < heads; h++) {
      decay.data()[h] = (float) Math.log(decay.data()[h]);
    }
    parameters.add(rates, decay);
    if (scaledWrites) {
      constant(prefix + "skip", 1, heads);
    }
  }

  private void table(String name, int rows) {
    gaussian(name, sizes.isFanIn() ? 1 : STANDARD_DEVIATION, rows, width);
  }

  private void map(String name, int out, int in) {
    if (sizes.isFanIn()) {
      uniform(name, 1 / Math.sqrt(in), out, in);
    } else {
      gaussian(name, STANDARD_DEVIATION, out, in);
    }
  }

  /// The last map of a sub-layer, whose output is added to the residual stream.
  private void last(String name, int out, int in) {
    if (sizes.isFanIn()) {
      uniform(name, 1 / Math.sqrt(in), out, in);
    } else {
      gaussian(name, STANDARD_DEVIATION / Math.sqrt(2.0 * blocks), out, in);
    }
  }

  private void bias(String name, int out, int in) {
    if (sizes.isFanIn()) {
      uniform(name, 1 / Math.sqrt(in), out);
    } else {
      constant(name, 0, out);
    }
  }

  private long stream(String name) {
    return Draws.seedFor(seed, name);
  }

  private void gaussian(String name, double deviation, int... shape) {
    parameters.add(name, Draws.gaussian(stream(name), deviation, shape));
  }

  private void uniform(String name, double bound, int... shape) {
    parameters.add(name, Draws.uniform(stream(name), -bound, bound, shape));
  }

  private void constant(String name, double value, int... shape) {
    parameters.add(name, Draws.constant(value, shape));
  }
}
