// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.variants.lowrank.Luna.Activation;

/// The causal form of Luna in double precision, as the paper's quadratic equivalent.
final class LunaReference {
  private final Luna luna;
  private final AttentionShape s;
  private final Mask mask;
  private final Tensors inputs;

  private LunaReference(Luna luna, AttentionShape s, Mask mask, Tensors inputs) {
    this.luna = luna;
    this.s = s;
    this.mask = mask;
    this.inputs = inputs;
  }

  static double[] out(Luna luna, AttentionShape s, Mask mask, Tensors inputs) {
    return new LunaReference(luna, s, mask, inputs).head();
  }

  private double[] head() {
    double[] out = new double[s.problems() * s.querySeqLen() * s.valueDim()];
    for (int p = 0; p < s.problems(); p++) {
      int b = p / s.numHeads();
      double[][] y =
          causal(
              rows("q", p, s.querySeqLen(), s.headDim()),
              rows("k", p, s.keySeqLen(), s.headDim()),
              rows("v", p, s.keySeqLen(), s.valueDim()),
              rows("pack_keys", p, s.keySeqLen(), s.headDim()),
              rows("pack", p, luna.packLength(), s.headDim()),
              b);
      put(y, out, p * s.querySeqLen() * s.valueDim(), 0, s.valueDim());
    }
    return out;
  }

  /// tril(B Aᵀ) v / t with B = softmax(tril(q kᵀ) A / (t √d)).
  private double[][] causal(
      double[][] q, double[][] k, double[][] v, double[][] packKey, double[][] pack, int b) {
    int l = pack.length;
    double root = Math.sqrt(pack[0].length);
    double[][] out = new double[q.length][s.valueDim()];
    double[][] packs = new double[k.length][l];
    for (int j = 0; j < k.length; j++) {
      for (int a = 0; a < l; a++) {
        packs[j][a] = omega(dot(packKey[j], pack[a]) / root);
      }
    }
    for (int i = 0; i < q.length; i++) {
      int limit = mask.causalLimit(i, s.querySeqLen(), s.keySeqLen());
      double count = 0;
      double[] score = new double[l];
      for (int j = 0; j < limit; j++) {
        if (mask.isRealKey(b, j)) {
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
        for (int a = 0; mask.isRealKey(b, j) && a < l; a++) {
          double weight = score[a] / sum * packs[j][a] / count;
          for (int e = 0; e < out[i].length; e++) {
            out[i][e] += weight * v[j][e];
          }
        }
      }
    }
    return out;
  }

  private double omega(double a) {
    if (luna.activation() == Activation.ELU_PLUS_ONE) {
      return a > 0 ? a + 1 : Math.exp(a);
    }
    return a > 100 ? a : Math.log1p(Math.pow(2, a)) / Math.log(2);
  }

  private double[][] rows(String name, int block, int n, int width) {
    float[] x = inputs.get(name).data();
    double[][] rows = new double[n][width];
    for (int i = 0; i < n; i++) {
      for (int e = 0; e < width; e++) {
        rows[i][e] = x[(block * n + i) * width + e];
      }
    }
    return rows;
  }

  private static void put(double[][] y, double[] out, int at, int column, int width) {
    for (int i = 0; i < y.length; i++) {
      System.arraycopy(y[i], 0, out, at + i * width + column, y[i].length);
    }
  }

  private static double dot(double[] x, double[] y) {
    double sum = 0;
    for (int e = 0; e < x.length; e++) {
      sum += x[e] * y[e];
    }
    return sum;
  }
}
