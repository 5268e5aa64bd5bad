// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.LunaOracle;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.Arrays;
import java.util.function.DoubleUnaryOperator;

/// Luna by full matrices in double precision; the causal form as the paper's quadratic equivalent.
final class LunaLayerReference {
  private final LunaLayer luna;
  private final AttentionShape s;
  private final Mask mask;
  private final Tensors inputs;

  private LunaLayerReference(LunaLayer luna, AttentionShape s, Mask mask, Tensors inputs) {
    this.luna = luna;
    this.s = s;
    this.mask = mask;
    this.inputs = inputs;
  }

  static double[] out(LunaLayer luna, AttentionShape s, Mask mask, Tensors inputs) {
    return new LunaLayerReference(luna, s, mask, inputs).layer();
  }

  /// The packed sequence; the pack as it was in the causal form.
  static double[] outPack(LunaLayer luna, AttentionShape s, Mask mask, Tensors inputs) {
    LunaLayerReference reference = new LunaLayerReference(luna, s, mask, inputs);
    int width = s.numHeads() * s.headDim();
    double[] out = new double[s.batchSize() * luna.packLength() * width];
    for (int b = 0; b < s.batchSize(); b++) {
      double[][] pack = reference.rows("pack", b, luna.packLength(), width);
      String source = inputs.has("context") ? "context" : "x";
      double[][] context = reference.rows(source, b, s.keySeqLen(), width);
      double[][] packed =
          mask.isCausal() ? pack : reference.packed(reference.map("pack_query", pack), context, b);
      put(packed, out, b * luna.packLength() * width, 0, width);
    }
    return out;
  }

  private double[] layer() {
    int width = s.numHeads() * s.headDim();
    double[] out = new double[s.batchSize() * s.querySeqLen() * width];
    String source = inputs.has("context") ? "context" : "x";
    boolean tied = luna.tieKeyValue();
    for (int b = 0; b < s.batchSize(); b++) {
      double[][] x = rows("x", b, s.querySeqLen(), width);
      double[][] c = rows(source, b, s.keySeqLen(), width);
      double[][] packQuery = map("pack_query", rows("pack", b, luna.packLength(), width));
      double[][] y = new double[s.querySeqLen()][width];
      if (mask.isCausal()) {
        double[][] query = map("query", x);
        double[][] key = map(tied ? "context" : "key", c);
        double[][] value = map(tied ? "context" : "value", c);
        double[][] packKey = map("pack_context", c);
        int heads = s.numHeads();
        for (int h = 0; h < heads; h++) {
          double[][] own =
              causal(
                  columns(query, h, heads),
                  columns(key, h, heads),
                  columns(value, h, heads),
                  columns(packKey, h, heads),
                  columns(packQuery, h, heads),
                  b);
          place(own, y, h);
        }
      } else {
        double[][] packed = packed(packQuery, c, b);
        double[][] query = map("query", x);
        double[][] key = map(tied ? "context" : "key", packed);
        double[][] value = map(tied ? "context" : "value", packed);
        int heads = s.numHeads();
        for (int h = 0; h < heads; h++) {
          place(
              attend(
                  columns(query, h, heads), columns(key, h, heads), columns(value, h, heads), -1),
              y,
              h);
        }
      }
      put(map("output", y), out, b * s.querySeqLen() * width, 0, width);
    }
    return out;
  }

  private double[][] packed(double[][] packQuery, double[][] c, int b) {
    int heads = luna.packHeads().orElse(s.numHeads());
    boolean tied = luna.tieKeyValue();
    double[][] key = map(tied ? "pack_context" : "pack_key", c);
    double[][] value = map(tied ? "pack_context" : "pack_value", c);
    double[][] packed = new double[luna.packLength()][packQuery[0].length];
    for (int h = 0; h < heads; h++) {
      place(
          attend(columns(packQuery, h, heads), columns(key, h, heads), columns(value, h, heads), b),
          packed,
          h);
    }
    return packed;
  }

  /// softmax(q kᵀ / √d) v; keys padded in a batch entry are left out, all count for entry −1.
  private double[][] attend(double[][] q, double[][] k, double[][] v, int b) {
    double[][] out = new double[q.length][v.length == 0 ? q[0].length : v[0].length];
    for (int i = 0; i < q.length; i++) {
      double[] weights = new double[k.length];
      double max = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < k.length; j++) {
        weights[j] =
            b < 0 || mask.isRealKey(b, j)
                ? dot(q[i], k[j]) / Math.sqrt(q[i].length)
                : Double.NEGATIVE_INFINITY;
        max = Math.max(max, weights[j]);
      }
      if (max == Double.NEGATIVE_INFINITY) {
        continue;
      }
      double sum = 0;
      for (int j = 0; j < k.length; j++) {
        weights[j] = Math.exp(weights[j] - max);
        sum += weights[j];
      }
      for (int j = 0; j < k.length; j++) {
        for (int e = 0; weights[j] > 0 && e < out[i].length; e++) {
          out[i][e] += weights[j] / sum * v[j][e];
        }
      }
    }
    return out;
  }

  private double[][] causal(
      double[][] q, double[][] k, double[][] v, double[][] packKey, double[][] pack, int b) {
    DoubleUnaryOperator omega =
        luna.activation() == Activation.ELU_PLUS_ONE
            ? LunaOracle::eluPlusOne
            : LunaOracle::softplus2;
    return LunaOracle.causal(q, k, v, packKey, pack, s.valueDim(), mask, b, omega);
  }

  private double[][] map(String name, double[][] x) {
    Tensor weight = inputs.get(name + "_weight");
    float[] bias = inputs.get(name + "_bias").data();
    int width = weight.extent(0);
    double[][] y = new double[x.length][width];
    for (int i = 0; i < x.length; i++) {
      for (int o = 0; o < width; o++) {
        double sum = bias[o];
        for (int e = 0; e < width; e++) {
          sum += x[i][e] * weight.data()[o * width + e];
        }
        y[i][o] = sum;
      }
    }
    return y;
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

  private static double[][] columns(double[][] x, int h, int heads) {
    double[][] own = new double[x.length][];
    for (int i = 0; i < x.length; i++) {
      int d = x[i].length / heads;
      own[i] = Arrays.copyOfRange(x[i], h * d, (h + 1) * d);
    }
    return own;
  }

  private static void place(double[][] own, double[][] all, int h) {
    for (int i = 0; i < own.length; i++) {
      System.arraycopy(own[i], 0, all[i], h * own[i].length, own[i].length);
    }
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
