// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.reading.AttentionStack;
import dev.crossover.models.layer.HeadTensors;
import dev.crossover.models.pretrained.AttentionCore;
import dev.crossover.models.pretrained.MiniLm;
import dev.crossover.models.pretrained.SentenceEncoder;
import java.util.ArrayList;
import java.util.List;

/// The attention weights of a trained encoder reading one text.
public final class MiniLmAttention {
  private MiniLmAttention() {}

  /// softmax(q kᵀ/√d) of every head of every layer, from the encoder's own queries and keys in
  /// double precision.
  ///
  /// @param ids numbers of the text's tokens
  /// @param threads number of threads, at least 1
  public static AttentionStack of(MiniLm model, int[] ids, int threads) {
    SentenceEncoder encoder =
        SentenceEncoder.keeping(model, AttentionCore.EXACT, 1, ids.length, threads);
    encoder.embed(ids, null);
    List<double[][][]> layers = new ArrayList<>();
    for (int layer = 0; layer < model.layers(); layer++) {
      HeadTensors heads = encoder.heads(layer);
      layers.add(HeadWeights.of(heads, false));
    }
    return new AttentionStack(layers);
  }
}
