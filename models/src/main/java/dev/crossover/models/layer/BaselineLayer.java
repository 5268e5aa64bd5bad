// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static dev.crossover.attention.Axis.BATCH;
import static dev.crossover.attention.Axis.MODEL_DIM;
import static dev.crossover.attention.Axis.QUERY;

import dev.crossover.attention.AttentionInputs;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Axis;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import java.util.List;

/// What mixes positions in a layer without attention, so that sweeps time it beside multi-head
/// layers: from `x`, `[batch, n, D]`, to an output of the same shape, D = heads · head width;
/// causal by construction, without biases, as [MultiHeadLayer] is.
///
/// Models use [Layers], which has biases, initial states and gradients.
public interface BaselineLayer extends NamedLayer {

  @Override
  default Capabilities capabilities() {
    return Capabilities.MINIMAL.causal(Causality.ALWAYS);
  }

  @Override
  default List<Axis> outputAxes() {
    return List.of(BATCH, QUERY, MODEL_DIM);
  }

  /// The layer's input from plain queries: their heads side by side.
  @Override
  default Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    Tensors given =
        qkv.has("q") && !qkv.has("x")
            ? Tensors.NONE.with("x", MultiHeadLayer.headsSideBySide(qkv.get("q")))
            : qkv;
    return AttentionInputs.complete(this, shape, given, seed);
  }

  /// The input of a layer.
  static TensorSpec x(AttentionShape s) {
    return TensorSpec.input(
        "x", "layer input, N(0,1)", Draws::gaussian, s, BATCH, QUERY, MODEL_DIM);
  }

  /// A map, drawn as those of the multi-head layer are.
  ///
  /// @param in number of terms of a sum
  static TensorSpec weight(String name, int in, AttentionShape s, Axis... axes) {
    return TensorSpec.parameter(
        name,
        "map, N(0, 1/in)",
        (seed, sizes) -> Draws.gaussian(seed, 1 / Math.sqrt(in), sizes),
        s,
        axes);
  }
}
