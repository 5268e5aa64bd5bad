// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.input.InputSource;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.models.pretrained.Digest;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// Tensors and a mask on which mechanisms are compared with exact attention.
///
/// @param input label of the source
/// @param shape sizes
/// @param mask the mask
/// @param qkv queries, keys and values
/// @param seed seed of generated tensors, and the first of random mechanisms
/// @param threads number of threads; outputs do not depend on it
public record ErrorProblem(
    String input, AttentionShape shape, Mask mask, Tensors qkv, long seed, int threads) {
  private static final int HEADS = 2;
  private static final int DIM = 64;

  /// One mechanism on the problem.
  ///
  /// @param attention the mechanism
  /// @param inputs its tensors
  /// @param target what it approximates
  public record Run(Attention attention, Tensors inputs, ExactTarget target) {}

  /// Loads or draws tensors; generated ones have two heads of width 64.
  ///
  /// @param label label of an [InputSource]
  /// @param n sequence length, cut to what the source holds
  /// @param causal whether the mask is causal
  /// @throws IllegalArgumentException if the label is not valid
  /// @throws IOException if a file cannot be read
  public static ErrorProblem of(String label, int n, boolean causal, long seed, int threads)
      throws IOException {
    InputSource input = InputSource.parse(label);
    int length = Math.min(n, input.maxSeqLen());
    AttentionShape shape = input.shapeFor(AttentionShape.of(1, HEADS, length, DIM));
    return new ErrorProblem(
        label, shape, causal ? Mask.causal() : Mask.none(), input.load(shape, seed), seed, threads);
  }

  /// A short name of queries, keys and values: equal tensors have equal names.
  public String digest() {
    StringBuilder parts = new StringBuilder();
    for (String name : List.of("q", "k", "v")) {
      Tensor tensor = qkv.get(name);
      ByteBuffer bits = ByteBuffer.allocate(tensor.size() * Float.BYTES);
      bits.asFloatBuffer().put(tensor.data());
      parts.append(name).append(tensor).append(Digest.of(bits.array()));
    }
    return Digest.of(parts.toString().getBytes(StandardCharsets.UTF_8));
  }

  /// The specs of a mechanism with as many seeds as wanted, or the spec itself when nothing in it
  /// is random or it names its seed.
  public List<String> seeded(String spec, int seeds) {
    MechanismType type = LayerCatalogue.typeOf(LayerCatalogue.parse(spec));
    boolean random = type.parameters().stream().anyMatch(p -> p.name().equals("seed"));
    if (!random || spec.matches(".*[:,]seed=.*")) {
      return List.of(spec);
    }
    List<String> all = new ArrayList<>();
    for (int s = 0; s < seeds; s++) {
      all.add(with(spec, "seed", Long.toString(seed + s)));
    }
    return all;
  }

  /// A spec with one more parameter.
  public static String with(String spec, String parameter, String value) {
    return spec + (spec.contains(":") ? "," : ":") + parameter + "=" + value;
  }

  /// The mechanism made ready; empty when it cannot honour the mask or refuses the sizes.
  ///
  /// @throws IllegalArgumentException if the spec itself is not valid
  public Optional<Run> run(String spec) {
    Attention attention = LayerCatalogue.parse(spec);
    Causality causality = attention.capabilities().causal();
    if (causality == (mask.isCausal() ? Causality.NEVER : Causality.ALWAYS)) {
      return Optional.empty();
    }
    try {
      Tensors inputs = attention.adapt(shape, qkv, seed);
      attention.plan(shape, mask, threads);
      return Optional.of(new Run(attention, inputs, attention.exactTarget(shape, mask, inputs)));
    } catch (IllegalArgumentException e) {
      return Optional.empty();
    }
  }

  /// The mechanism's output.
  public Tensor output(Run run) {
    Tensor out = Tensor.zeros(run.attention().outputShape(shape));
    run.attention().plan(shape, mask, threads).forward(run.inputs(), out);
    return out;
  }

  /// What the output would be if it were exact.
  Tensor exact(Run run) {
    return ErrorStudy.exact(run.target(), threads);
  }
}
