// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Value;

/// What a layer's attention reads and gives, after maps, norms and rotation, as tensors of their
/// own.
///
/// @param query `[batch, heads, length, d]`
/// @param key `[batch, key/value heads, length, d]`; the queries where the layer shares them
/// @param value `[batch, key/value heads, length, dv]`
/// @param out head outputs before norm, gate and output map, `[batch, heads, length, dv]`
public record HeadTensors(Tensor query, Tensor key, Tensor value, Tensor out) {

  /// Copies of what a layer has kept.
  public static HeadTensors copyOf(Layers.HeadValues kept) {
    Value key = kept.key() == null ? kept.query() : kept.key();
    return new HeadTensors(copy(kept.query()), copy(key), copy(kept.value()), copy(kept.out()));
  }

  private static Tensor copy(Value value) {
    return value.tensor(false).copy();
  }
}
