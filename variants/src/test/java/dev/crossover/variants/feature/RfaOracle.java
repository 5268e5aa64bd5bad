// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.Remembered;
import dev.crossover.variants.feature.Rfa.Kernel;
import dev.crossover.variants.feature.Rfa.Variant;
import java.util.ArrayList;
import java.util.List;

/// Random feature attention from its quadratic definition, in double precision.
final class RfaOracle {
  private static final Remembered<double[][]> FEATURES = new Remembered<>();

  private RfaOracle() {}

  static double[] out(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Rfa rfa = (Rfa) attention;
    boolean code = rfa.variant() == Variant.CODE;
    double[][] queries = features(rfa, inputs, "q");
    double[][] keys = features(rfa, inputs, "k");
    return Oracle.normalised(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int head = b * shape.numHeads() + h;
          double[] x = queries[head * shape.querySeqLen() + i];
          double[] y = keys[head * shape.keySeqLen() + j];
          double weight = 0;
          for (int a = 0; a < x.length; a++) {
            weight += x[a] * y[a];
          }
          return rfa.gated()
              ? weight * gate(inputs.get("gate"), head, last(shape, mask, i), j)
              : weight;
        },
        sum -> code ? Math.max(mask.isCausal() ? sum : Math.abs(sum), 1) : sum);
  }

  /// The last key that order lets row i see.
  private static int last(AttentionShape s, Mask mask, int i) {
    return mask.causalLimit(i, s.querySeqLen(), s.keySeqLen()) - 1;
  }

  /// `(1 − g_j) g_(j+1) … g_i`, padded positions among them.
  private static double gate(Tensor gate, int head, int i, int j) {
    int first = head * gate.extent(2);
    double weight = 1 - gate.data()[first + j];
    for (int l = j + 1; l <= i; l++) {
      weight *= gate.data()[first + l];
    }
    return weight;
  }

  /// φ of every row of `[batch, heads, n, d]`.
  static double[][] features(Rfa rfa, Tensors inputs, String name) {
    List<Tensor> read = new ArrayList<>();
    for (String each : List.of(name, "random_projection", "sigma")) {
      if (inputs.has(each)) {
        read.add(inputs.get(each));
      }
    }
    return FEATURES.of(rfa, read, () -> newFeatures(rfa, inputs, inputs.get(name)));
  }

  private static double[][] newFeatures(Rfa rfa, Tensors inputs, Tensor x) {
    int d = x.extent(3);
    int m = rfa.numFeatures();
    boolean code = rfa.variant() == Variant.CODE;
    double factor = code ? 0.1 : 1 / Math.sqrt(m);
    double[] directions = directions(rfa, inputs, x.extent(1), d);
    double[][] features = new double[x.size() / d][];
    for (int row = 0; row < features.length; row++) {
      int head = row / x.extent(2) % x.extent(1);
      double norm = 0;
      for (int c = 0; c < d; c++) {
        norm += (double) x.data()[row * d + c] * x.data()[row * d + c];
      }
      double length = Math.sqrt(norm) + (code ? 1e-3 : 0);
      double[] phi = new double[rfa.kernel() == Kernel.GAUSSIAN ? 2 * m : m];
      for (int a = 0; a < m; a++) {
        double u = 0;
        for (int c = 0; c < d; c++) {
          u += directions[(head * m + a) * d + c] * x.data()[row * d + c];
        }
        u /= length;
        if (rfa.kernel() == Kernel.GAUSSIAN) {
          phi[a] = factor * Math.sin(u);
          phi[m + a] = factor * Math.cos(u);
        } else {
          phi[a] = factor * Math.max(u, 0);
        }
      }
      features[row] = phi;
    }
    return features;
  }

  /// σ ∘ w / τ, `[heads, m, d]`.
  private static double[] directions(Rfa rfa, Tensors inputs, int heads, int d) {
    float[] w = inputs.get("random_projection").data();
    double[] directions = new double[heads * rfa.numFeatures() * d];
    for (int e = 0; e < directions.length; e++) {
      int head = e / (rfa.numFeatures() * d);
      double sigma = inputs.has("sigma") ? inputs.get("sigma").data()[head * d + e % d] : 1;
      directions[e] = sigma * w[e] / rfa.tau();
    }
    return directions;
  }

  /// S after the last key.
  static double[] finalState(Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    return sums(attention, s, mask, inputs, inputs.get("v"), s.valueDim());
  }

  /// z after the last key.
  static double[] finalNormaliser(
      Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    Tensor ones = Tensor.zeros(s.batchSize(), s.numHeads(), s.keySeqLen(), 1);
    java.util.Arrays.fill(ones.data(), 1);
    return sums(attention, s, mask, inputs, ones, 1);
  }

  private static double[] sums(
      Attention attention, AttentionShape s, Mask mask, Tensors inputs, Tensor v, int dv) {
    Rfa rfa = (Rfa) attention;
    double[][] keys = features(rfa, inputs, "k");
    int width = rfa.width();
    double[] sums = new double[s.problems() * width * dv];
    for (int row = 0; row < keys.length; row++) {
      int head = row / s.keySeqLen();
      boolean real = mask.isRealKey(head / s.numHeads(), row % s.keySeqLen());
      double g = rfa.gated() ? inputs.get("gate").data()[row] : 0;
      double kept = rfa.gated() ? g : 1;
      for (int a = 0; a < width; a++) {
        for (int c = 0; c < dv; c++) {
          int at = (head * width + a) * dv + c;
          double written = real ? keys[row][a] * v.data()[row * dv + c] : 0;
          sums[at] = kept * sums[at] + (1 - g) * written;
        }
      }
    }
    return sums;
  }
}
