// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import dev.crossover.attention.tensor.Tensor;
import java.util.Map;

/// BERT's encoder in plain loops and double precision, from the equations alone.
final class PlainBert {
  private final Map<String, Tensor> weights;
  private final int heads;
  private final int layers;

  PlainBert(Map<String, Tensor> weights, int heads, int layers) {
    this.weights = weights;
    this.heads = heads;
    this.layers = layers;
  }

  private double weight(String name, int index) {
    Tensor tensor = weights.get(name);
    if (tensor == null) {
      throw new IllegalArgumentException(name + " must be there");
    }
    return tensor.data()[index];
  }

  private double[] map(String name, double[] x, int out) {
    double[] y = new double[out];
    for (int o = 0; o < out; o++) {
      y[o] = weight(name + ".bias", o);
      for (int i = 0; i < x.length; i++) {
        y[o] += weight(name + ".weight", o * x.length + i) * x[i];
      }
    }
    return y;
  }

  private double[] norm(String name, double[] x, double[] added) {
    int width = x.length;
    double mean = 0;
    for (int c = 0; c < width; c++) {
      mean += (x[c] + added[c]) / width;
    }
    double variance = 0;
    for (int c = 0; c < width; c++) {
      variance += Math.pow(x[c] + added[c] - mean, 2) / width;
    }
    double[] y = new double[width];
    for (int c = 0; c < width; c++) {
      double centred = (x[c] + added[c] - mean) / Math.sqrt(variance + 1e-12);
      y[c] = centred * weight(name + ".weight", c) + weight(name + ".bias", c);
    }
    return y;
  }

  /// Hidden states after the embedding and after every layer.
  double[][][] hidden(int[] ids, boolean[] real) {
    int n = ids.length;
    int width = weights.get("embeddings.LayerNorm.bias").size();
    double[][][] hidden = new double[layers + 1][n][];
    for (int t = 0; t < n; t++) {
      double[] x = new double[width];
      double[] position = new double[width];
      for (int c = 0; c < width; c++) {
        x[c] = weight("embeddings.word_embeddings.weight", ids[t] * width + c);
        position[c] =
            weight("embeddings.position_embeddings.weight", t * width + c)
                + weight("embeddings.token_type_embeddings.weight", c);
      }
      hidden[0][t] = norm("embeddings.LayerNorm", x, position);
    }
    for (int i = 0; i < layers; i++) {
      hidden[i + 1] = layer("encoder.layer." + i + ".", hidden[i], real);
    }
    return hidden;
  }

  private double[][] layer(String prefix, double[][] x, boolean[] real) {
    int n = x.length;
    int width = x[0].length;
    double[][] q = new double[n][];
    double[][] k = new double[n][];
    double[][] v = new double[n][];
    for (int t = 0; t < n; t++) {
      q[t] = map(prefix + "attention.self.query", x[t], width);
      k[t] = map(prefix + "attention.self.key", x[t], width);
      v[t] = map(prefix + "attention.self.value", x[t], width);
    }
    double[][] y = new double[n][];
    for (int t = 0; t < n; t++) {
      double[] attended = attended(q[t], k, v, real);
      double[] out = map(prefix + "attention.output.dense", attended, width);
      double[] middle = norm(prefix + "attention.output.LayerNorm", out, x[t]);
      int inner = weights.get(prefix + "intermediate.dense.bias").size();
      double[] up = map(prefix + "intermediate.dense", middle, inner);
      for (int c = 0; c < inner; c++) {
        up[c] *= (1 + erf(up[c] / Math.sqrt(2))) / 2;
      }
      y[t] = norm(prefix + "output.LayerNorm", map(prefix + "output.dense", up, width), middle);
    }
    return y;
  }

  /// 2/√π Σ_k (−1)^k x^(2k+1)/(k! (2k+1)).
  private static double erf(double x) {
    if (Math.abs(x) > 4) {
      return Math.signum(x);
    }
    double power = x;
    double sum = 0;
    for (int k = 0; k < 100; k++) {
      sum += power / (2 * k + 1);
      power *= -x * x / (k + 1);
    }
    return 2 / Math.sqrt(Math.PI) * sum;
  }

  private double[] attended(double[] q, double[][] k, double[][] v, boolean[] real) {
    int width = q.length;
    int d = width / heads;
    double[] out = new double[width];
    for (int h = 0; h < heads; h++) {
      double sum = 0;
      for (int j = 0; j < k.length; j++) {
        double score = 0;
        for (int c = h * d; c < (h + 1) * d; c++) {
          score += q[c] * k[j][c];
        }
        double weight = real[j] ? Math.exp(score / Math.sqrt(d)) : 0;
        sum += weight;
        for (int c = h * d; c < (h + 1) * d; c++) {
          out[c] += weight * v[j][c];
        }
      }
      for (int c = h * d; c < (h + 1) * d; c++) {
        out[c] /= sum;
      }
    }
    return out;
  }

  /// The mean of real tokens, of length 1.
  static double[] embedding(double[][] hidden, boolean[] real) {
    double[] mean = new double[hidden[0].length];
    double squares = 0;
    for (int c = 0; c < mean.length; c++) {
      for (int t = 0; t < hidden.length; t++) {
        mean[c] += real[t] ? hidden[t][c] : 0;
      }
      squares += mean[c] * mean[c];
    }
    for (int c = 0; c < mean.length; c++) {
      mean[c] /= Math.sqrt(squares);
    }
    return mean;
  }
}
