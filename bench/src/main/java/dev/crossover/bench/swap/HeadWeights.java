// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.models.layer.HeadTensors;

/// Exact attention weights of the heads of one layer, in double precision.
final class HeadWeights {
  private HeadWeights() {}

  /// softmax(q kᵀ/√d) of the first sequence; query heads share key heads in groups.
  ///
  /// @param causal whether a row sees itself and earlier ones only
  /// @return `[heads][n][n]`
  static double[][][] of(HeadTensors heads, boolean causal) {
    int count = heads.query().extent(1);
    int group = count / heads.key().extent(1);
    double[][][] weights = new double[count][][];
    for (int h = 0; h < count; h++) {
      weights[h] = weights(heads, h, h / group, causal);
    }
    return weights;
  }

  private static double[][] weights(HeadTensors heads, int head, int keyHead, boolean causal) {
    float[] query = heads.query().data();
    float[] key = heads.key().data();
    int n = heads.query().extent(2);
    int d = heads.query().extent(3);
    double[][] weights = new double[n][n];
    for (int i = 0; i < n; i++) {
      int visible = causal ? i + 1 : n;
      double most = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < visible; j++) {
        double score = 0;
        for (int c = 0; c < d; c++) {
          score += (double) query[(head * n + i) * d + c] * key[(keyHead * n + j) * d + c];
        }
        weights[i][j] = score / Math.sqrt(d);
        most = Math.max(most, weights[i][j]);
      }
      double sum = 0;
      for (int j = 0; j < visible; j++) {
        weights[i][j] = Math.exp(weights[i][j] - most);
        sum += weights[i][j];
      }
      for (int j = 0; j < visible; j++) {
        weights[i][j] /= sum;
      }
    }
    return weights;
  }
}
