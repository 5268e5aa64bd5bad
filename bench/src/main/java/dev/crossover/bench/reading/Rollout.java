// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayList;
import java.util.List;

/// Attention rollout (Abnar, Zuidema, ACL 2020, arXiv:2005.00928): the product of the layers' mean
/// weights, each with the residual connection added: `B = (A + I)` with rows divided by their sums,
/// `R_l = B_l R_(l−1)`.
///
/// `R[i][j]` is the share of input j in position i, if values were passed on unchanged. It drifts
/// to the first token in causal models, as every product of triangular matrices does.
public final class Rollout {
  private Rollout() {}

  /// Rollout after each layer, `[n][n]` each.
  ///
  /// @param stack self-attention: as many keys as queries
  /// @param residual whether the residual connection is added
  public static List<double[][]> of(AttentionStack stack, boolean residual) {
    List<double[][]> all = new ArrayList<>();
    double[][] before = new double[0][];
    for (int layer = 0; layer < stack.depth(); layer++) {
      double[][] weights = residual ? withResidual(stack, layer) : square(stack, layer);
      before = layer == 0 ? weights : product(weights, before);
      all.add(before);
    }
    return List.copyOf(all);
  }

  /// One row of the last layer's rollout, by vector and matrix products only.
  public static double[] row(AttentionStack stack, int query, boolean residual) {
    double[] row = new double[stack.keys()];
    row[query] = 1;
    for (int layer = stack.depth() - 1; layer >= 0; layer--) {
      double[][] weights = residual ? withResidual(stack, layer) : square(stack, layer);
      double[] next = new double[row.length];
      for (int i = 0; i < row.length; i++) {
        if (row[i] != 0) {
          for (int j = 0; j < row.length; j++) {
            next[j] += row[i] * weights[i][j];
          }
        }
      }
      row = next;
    }
    return row;
  }

  /// A layer's mean weights with the identity added, rows divided by their sums.
  static double[][] withResidual(AttentionStack stack, int layer) {
    double[][] weights = square(stack, layer);
    for (int i = 0; i < weights.length; i++) {
      weights[i][i] += 1;
      double sum = 0;
      for (double weight : weights[i]) {
        sum += weight;
      }
      for (int j = 0; j < weights[i].length; j++) {
        weights[i][j] /= sum;
      }
    }
    return weights;
  }

  private static double[][] square(AttentionStack stack, int layer) {
    if (stack.queries() != stack.keys()) {
      throw new IllegalArgumentException(
          "keys must be as many as queries (" + stack.queries() + "), but was " + stack.keys());
    }
    return stack.mean(layer);
  }

  private static double[][] product(double[][] a, double[][] b) {
    int n = a.length;
    double[][] c = new double[n][n];
    for (int i = 0; i < n; i++) {
      for (int k = 0; k < n; k++) {
        double weight = a[i][k];
        for (int j = 0; j < n; j++) {
          c[i][j] += weight * b[k][j];
        }
      }
    }
    return c;
  }
}
