// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.reading.AttentionStack;
import dev.crossover.models.layer.LayerOptions;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.model.Batch;
import dev.crossover.models.model.Model;
import dev.crossover.models.model.ModelKind;
import dev.crossover.models.model.ModelShape;
import dev.crossover.models.model.Purpose;
import dev.crossover.models.training.TrainedModel;

/// The attention weights of a trained language model reading one text.
public final class LanguageModelAttention {
  private LanguageModelAttention() {}

  /// softmax(q kᵀ/√d) over the tokens so far, of every head of every block, from the model's own
  /// queries and keys in double precision.
  ///
  /// @param tokens of the text
  /// @param threads number of threads, at least 1
  /// @throws IllegalArgumentException if a block's mixer is not exact softmax attention
  public static AttentionStack of(TrainedModel model, int[] tokens, int threads) {
    LayerOptions layers = model.layers();
    for (int block = 0; block < layers.layers(); block++) {
      String mixer = layers.mixer(block);
      String name = Mechanisms.isBaseline(mixer) ? mixer : Mechanisms.parse(mixer).name();
      if (!name.equals("tiled") && !name.equals("materialised")) {
        throw new IllegalArgumentException(
            "mixer must be exact attention to be read, but block " + block + " has " + mixer);
      }
    }
    Model planned =
        Model.plan(
            ModelKind.LANGUAGE_MODEL,
            layers,
            model.parameters(),
            ModelShape.of(1, tokens.length),
            Purpose.HEADS,
            threads);
    Batch batch = new Batch(tokens, null, null, null, null);
    return new AttentionStack(
        planned.heads(batch).stream().map(heads -> HeadWeights.of(heads, true)).toList());
  }
}
