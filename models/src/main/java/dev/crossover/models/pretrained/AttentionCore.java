// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.Attention;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import java.util.Map;

/// What stands between queries, keys, values and head outputs in every layer of a trained model.
///
/// @param mechanism the mechanism
/// @param tensors what it reads beside queries, keys and values, by name; others are drawn from its
///     seed, or off
/// @param queriesFromKeys whether the maps of the keys take the place of those of the queries, for
///     mechanisms that share them; without it those that do use the queries
public record AttentionCore(
    Attention mechanism, Map<String, Tensor> tensors, boolean queriesFromKeys) {

  /// What the model was trained with.
  public static final AttentionCore EXACT = of(new Tiled());

  /// Copies the map.
  public AttentionCore {
    tensors = Map.copyOf(tensors);
  }

  /// A mechanism that needs nothing more.
  public static AttentionCore of(Attention mechanism) {
    return new AttentionCore(mechanism, Map.of(), false);
  }
}
