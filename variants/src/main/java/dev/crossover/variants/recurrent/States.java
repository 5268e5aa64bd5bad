package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/// What recurrences over a matrix state `[d, dv]` per head have in common: capabilities, the state
/// tensors, and typical draws of gates.
final class States {
  private States() {}

  /// Causal by construction, any padding, a value width of its own, decoding.
  static Capabilities capabilities() {
    return Capabilities.MINIMAL
        .causal(Causality.ALWAYS)
        .keyPadding(Padding.ANY)
        .valueDim(true)
        .decoding(true);
  }

  /// `q`, `k`, `v`, the mechanism's own tensors, and the optional `initial_state`.
  static List<TensorSpec> inputs(AttentionShape s, TensorSpec... own) {
    List<TensorSpec> specs = new ArrayList<>(AttentionInputs.qkv(s));
    specs.addAll(List.of(own));
    specs.add(initialState(s));
    return List.copyOf(specs);
  }

  /// The optional state before position 0.
  static TensorSpec initialState(AttentionShape s) {
    return TensorSpec.optional(
        "initial_state", "S before the first token", Draws::gaussian, shape(s));
  }

  /// The state after the last position.
  static List<TensorSpec> results(AttentionShape s) {
    return List.of(TensorSpec.result("final_state", "S after the last token", shape(s)));
  }

  private static int[] shape(AttentionShape s) {
    return new int[] {s.batchSize(), s.numHeads(), s.headDim(), s.valueDim()};
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
  static Tensor timeSteps(long seed, int... shape) {
    Tensor tensor = Draws.uniform(seed, Math.log(1e-3), Math.log(0.1), shape);
    float[] data = tensor.data();
    for (int i = 0; i < data.length; i++) {
      data[i] = (float) Math.exp(data[i]);
    }
    return tensor;
  }
}
