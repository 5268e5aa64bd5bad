// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.tensor.Tensor;
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
      double[][][] weights = new double[model.heads()][][];
      for (int h = 0; h < weights.length; h++) {
        weights[h] = weights(heads.query(), heads.key(), h);
      }
      layers.add(weights);
    }
    return new AttentionStack(layers);
  }

  private static double[][] weights(Tensor query, Tensor key, int head) {
    int n = query.extent(2);
    int d = query.extent(3);
    double[][] weights = new double[n][n];
    for (int i = 0; i < n; i++) {
      double most = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < n; j++) {
        double score = 0;
        for (int c = 0; c < d; c++) {
          score +=
              (double) query.data()[(head * n + i) * d + c] * key.data()[(head * n + j) * d + c];
        }
        weights[i][j] = score / Math.sqrt(d);
        most = Math.max(most, weights[i][j]);
      }
      double sum = 0;
      for (int j = 0; j < n; j++) {
        weights[i][j] = Math.exp(weights[i][j] - most);
        sum += weights[i][j];
      }
      for (int j = 0; j < n; j++) {
        weights[i][j] /= sum;
      }
    }
    return weights;
  }
}
