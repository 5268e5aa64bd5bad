// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.option.TextOptions;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// What a layer or model is beyond its parameters: the mixer of every block, positions, norms,
/// feed-forward, loss, as `key=value` texts with defaults.
///
/// Sizes follow from the shapes of the parameters; a bias, a gate, a short convolution or a head of
/// its own is there when its tensor is.
///
/// | key | values | absent |
/// |-----|--------|--------|
/// | `mixer`, `mixer.I` | a mechanism, `lstm`, `gru`, `gated_convolution`, `long_convolution`; of block I | `softmax`; `mixer` |
/// | `cross` | a mechanism: cross-attention of decoder blocks | `softmax` |
/// | `heads`, `kv_heads` | query heads, key/value heads | 1; `heads` |
/// | `causal` | boolean, for single layers | false |
/// | `positions` | `none`, `sinusoidal`, `learned`, `rope`, `rope_interleaved`, `alibi` | `none` |
/// | `rope_base`, `embedding_scale` | numbers | 10000, 1 |
/// | `norm`, `norm_eps`, `norm_momentum` | `layer`, `rms`, `batch`; numbers | `layer`, 1e-5, 0.1 |
/// | `norm_position` | `pre`, `post` | `pre` |
/// | `training` | boolean: batch statistics, dropout | false |
/// | `feed_forward` | `relu`, `gelu`, `gelu_tanh`, `swiglu`, `none` | `relu` |
/// | `projection_activation` | `none`, `silu` | `none` |
/// | `qk_norm` | `none`, `l2` | `none` |
/// | `head_norm`, `head_norm_eps` | `none`, `rms`, `layer`; number | `none`, 1e-5 |
/// | `beta_max`, `decay_temperature` | numbers | 1, 16 |
/// | `zero_inputs` | names of mechanisms' gates joined by `/`, `gate_window`, that are zero: of branches that are switched off | none |
/// | `dilation_base`, `dilation` | integers | 2, 1 |
/// | `layers`, `encoder_layers`, `decoder_layers` | integers | 1 |
/// | `pooling` | `mean`, `first`, `last` | `mean` |
/// | `ignore_index`, `label_smoothing`, `z_loss` | integer, numbers | -100, 0, 0 |
/// | `dropout` | number in [0, 1) | 0 |
/// | `dropout_seed` | integer | 42 |
public final class LayerOptions extends TextOptions {
  private static final Map<String, String> DEFAULTS = defaults();

  private LayerOptions(Map<String, String> given) {
    super(given, DEFAULTS, LayerOptions::isKey);
    check();
  }

  /// Options from texts by key.
  ///
  /// @throws IllegalArgumentException naming an unknown key or a value that breaks a rule
  public static LayerOptions of(Map<String, String> values) {
    return new LayerOptions(values);
  }

  /// All options at their defaults.
  public static LayerOptions defaultOptions() {
    return new LayerOptions(Map.of());
  }

  /// These options with one changed.
  public LayerOptions with(String key, String value) {
    Map<String, String> changed = toMap();
    changed.put(key, value);
    return new LayerOptions(changed);
  }

  /// Whether a key is one of this page's.
  public static boolean isKey(String key) {
    return DEFAULTS.containsKey(key) || key.matches("mixer\\.\\d+");
  }

  /// Whether a key's value names a mechanism or another mixer.
  public static boolean isMechanism(String key) {
    return key.equals("cross") || key.equals("mixer") || key.startsWith("mixer.");
  }

  private static Map<String, String> defaults() {
    Map<String, String> map = new LinkedHashMap<>();
    map.put("mixer", "softmax");
    map.put("cross", "softmax");
    map.put("heads", "1");
    map.put("kv_heads", "");
    map.put("causal", "false");
    map.put("positions", "none");
    map.put("rope_base", "10000");
    map.put("embedding_scale", "1");
    map.put("norm", "layer");
    map.put("norm_eps", "1e-5");
    map.put("norm_momentum", "0.1");
    map.put("norm_position", "pre");
    map.put("training", "false");
    map.put("feed_forward", "relu");
    map.put("projection_activation", "none");
    map.put("qk_norm", "none");
    map.put("head_norm", "none");
    map.put("head_norm_eps", "1e-5");
    map.put("beta_max", "1");
    map.put("decay_temperature", "16");
    map.put("zero_inputs", "");
    map.put("dilation_base", "2");
    map.put("dilation", "1");
    map.put("layers", "1");
    map.put("encoder_layers", "1");
    map.put("decoder_layers", "1");
    map.put("pooling", "mean");
    map.put("ignore_index", "-100");
    map.put("label_smoothing", "0");
    map.put("z_loss", "0");
    map.put("dropout", "0");
    map.put("dropout_seed", "42");
    return map;
  }

  private void check() {
    heads();
    keyValueHeads();
    causal();
    training();
    positions();
    norm();
    preNorm();
    feedForward();
    projectionActivation();
    qkNorm();
    headNorm();
    pooling();
    integer("ignore_index");
    integer("dropout_seed");
    for (String key : List.of("dilation_base", "dilation", "layers")) {
      positive(key);
    }
    for (String key :
        List.of(
            "rope_base",
            "embedding_scale",
            "norm_eps",
            "norm_momentum",
            "head_norm_eps",
            "beta_max",
            "decay_temperature",
            "label_smoothing",
            "z_loss",
            "dropout")) {
      number(key);
    }
    if (dropout() >= 1) {
      throw new IllegalArgumentException("dropout must be in [0, 1), but was " + dropout());
    }
  }

  /// The mixer of a block.
  public String mixer(int block) {
    return text("mixer." + block, text("mixer"));
  }

  /// The mechanism of cross-attention.
  public String cross() {
    return text("cross");
  }

  /// Gates that are zero, by the names of the mechanism's inputs.
  public List<String> zeroInputs() {
    String names = text("zero_inputs");
    return names.isEmpty() ? List.of() : List.of(names.split("/", -1));
  }

  /// Query heads.
  public int heads() {
    return positive("heads");
  }

  /// Key/value heads.
  public int keyValueHeads() {
    return text("kv_heads").isEmpty() ? heads() : positive("kv_heads");
  }

  /// Whether a single attention layer is causal.
  public boolean causal() {
    return bool("causal");
  }

  /// Positions.
  public Positions positions() {
    return token("positions", Positions.class);
  }

  /// Base of the angles of rope.
  public double ropeBase() {
    return number("rope_base");
  }

  /// Factor on embedding rows.
  public double embeddingScale() {
    return number("embedding_scale");
  }

  /// Norm of the blocks.
  public NormKind norm() {
    return token("norm", NormKind.class);
  }

  /// Added to the variance or the mean square.
  public double normEps() {
    return number("norm_eps");
  }

  /// Weight of the new batch in the running statistics.
  public double normMomentum() {
    return number("norm_momentum");
  }

  /// Whether norms come before the sub-layers (true) or after the sums (false).
  public boolean preNorm() {
    return choice("norm_position", List.of("pre", "post")).equals("pre");
  }

  /// Whether batch norm takes its statistics from the batch, and dropout is on.
  public boolean training() {
    return bool("training");
  }

  /// Feed-forward.
  public FeedForwardKind feedForward() {
    return token("feed_forward", FeedForwardKind.class);
  }

  /// Whether silu is applied to queries, keys and values.
  public boolean projectionActivation() {
    return choice("projection_activation", List.of("none", "silu")).equals("silu");
  }

  /// Whether queries and keys are divided by their lengths.
  public boolean qkNorm() {
    return choice("qk_norm", List.of("none", "l2")).equals("l2");
  }

  /// Norm of each head's output: `none`, `rms` or `layer`.
  public String headNorm() {
    return choice("head_norm", List.of("none", "rms", "layer"));
  }

  /// Added to the variance or the mean square of a head's output.
  public double headNormEps() {
    return number("head_norm_eps");
  }

  /// Largest write strength of delta rules.
  public double betaMax() {
    return number("beta_max");
  }

  /// Divisor of GLA's log gates.
  public double decayTemperature() {
    return number("decay_temperature");
  }

  /// Dilation of the gated convolution of a block.
  public int dilation(int block) {
    return Math.toIntExact(
        positive("dilation") * Math.round(Math.pow(positive("dilation_base"), block)));
  }

  /// Blocks.
  public int layers() {
    return positive("layers");
  }

  /// Blocks of the encoder.
  public int encoderLayers() {
    return positive("encoder_layers");
  }

  /// Blocks of the decoder.
  public int decoderLayers() {
    return positive("decoder_layers");
  }

  /// Pooling of a classifier.
  public PoolingKind pooling() {
    return token("pooling", PoolingKind.class);
  }

  /// The label of positions that do not count.
  public int ignoreIndex() {
    return integer("ignore_index");
  }

  /// Share of the target spread over all classes.
  public double labelSmoothing() {
    return number("label_smoothing");
  }

  /// Factor on the squared log normaliser.
  public double zLoss() {
    return number("z_loss");
  }

  /// Probability that an element is dropped while training.
  public double dropout() {
    return number("dropout");
  }

  /// Seed of dropout.
  public long dropoutSeed() {
    return integer("dropout_seed");
  }
}
