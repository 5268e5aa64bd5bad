// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Mask;
import java.util.function.DoubleUnaryOperator;

/// One head of Luna in causal order, in double precision, as the paper's quadratic equivalent (Ma
/// et al., Luna: Linear Unified Nested Attention, NeurIPS 2021), from which tests of the mechanism
/// and of the layer take what they expect.
public final class LunaOracle {
  private LunaOracle() {}

  /// ω(a) = elu(a) + 1.
  public static double eluPlusOne(double a) {
    return a > 0 ? a + 1 : Math.exp(a);
  }

  /// ω(a) = log2(1 + 2^a).
  public static double softplus2(double a) {
    return a > 100 ? a : Math.log1p(Math.pow(2, a)) / Math.log(2);
  }

  /// tril(B Aᵀ) v / t with A = ω(packKey packᵀ / √d) and B = softmax(tril(q kᵀ) A / (t √d)), where
  /// t counts the keys that a query sees.
  ///
  /// @param q `[nq, d]`
  /// @param k `[nk, d]`
  /// @param v `[nk, dv]`
  /// @param packKey `[nk, d]`
  /// @param pack `[l, d]`
  /// @param valueDim dv
  /// @param batch whose padding counts
  /// @param omega ω
  /// @return `[nq, dv]`
  public static double[][] causal(
      double[][] q,
      double[][] k,
      double[][] v,
      double[][] packKey,
      double[][] pack,
      int valueDim,
      Mask mask,
      int batch,
      DoubleUnaryOperator omega) {
    int l = pack.length;
    double root = Math.sqrt(pack[0].length);
    double[][] out = new double[q.length][valueDim];
    double[][] packs = new double[k.length][l];
    for (int j = 0; j < k.length; j++) {
      for (int a = 0; a < l; a++) {
        packs[j][a] = omega.applyAsDouble(dot(packKey[j], pack[a]) / root);
      }
    }
    for (int i = 0; i < q.length; i++) {
      int limit = mask.causalLimit(i, q.length, k.length);
      double count = 0;
      double[] score = new double[l];
      for (int j = 0; j < limit; j++) {
        if (mask.isRealKey(batch, j)) {
          count++;
          double product = dot(q[i], k[j]);
          for (int a = 0; a < l; a++) {
            score[a] += product * packs[j][a];
          }
        }
      }
      double sum = 0;
      double max = Double.NEGATIVE_INFINITY;
      for (int a = 0; a < l; a++) {
        score[a] = count == 0 ? 0 : score[a] / (count * root);
        max = Math.max(max, score[a]);
      }
      for (int a = 0; a < l; a++) {
        score[a] = Math.exp(score[a] - max);
        sum += score[a];
      }
      for (int j = 0; j < limit; j++) {
        for (int a = 0; mask.isRealKey(batch, j) && a < l; a++) {
          double weight = score[a] / sum * packs[j][a] / count;
          for (int e = 0; e < out[i].length; e++) {
            out[i][e] += weight * v[j][e];
          }
        }
      }
    }
    return out;
  }

  private static double dot(double[] x, double[] y) {
    double sum = 0;
    for (int e = 0; e < x.length; e++) {
      sum += x[e] * y[e];
    }
    return sum;
  }
}
