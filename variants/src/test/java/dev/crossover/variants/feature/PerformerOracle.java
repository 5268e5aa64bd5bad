// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.ContractSubject.Reference;
import dev.crossover.attention.testing.Oracle;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The weights of Performer from its definition, in double precision: the key maximum of every row
/// is taken over the keys that row may see, or over all. Trigonometric features are not scaled by
/// their largest norm, which cancels.
final class PerformerOracle {
  private final Performer performer;
  private final AttentionShape shape;
  private final Mask mask;
  private final double[][] queries;
  private final double[][] keys;
  private final double[] queryNorms;
  private final double[] keyNorms;
  private final double[][] queryCircle;
  private final double[][] keyCircle;
  private double[] queryMaxima;
  private double[] keyMaxima;

  PerformerOracle(Performer performer, AttentionShape shape, Mask mask, Tensors inputs) {
    this.performer = performer;
    this.shape = shape;
    this.mask = mask;
    double scale =
        switch (performer.kernel()) {
          case RELU, RELU_UNPROJECTED -> 1;
          case RELU_TENSORFLOW -> 1 / Math.sqrt(performer.numFeatures());
          default -> Math.pow(shape.headDim(), -0.25);
        };
    Tensor omega =
        inputs.has("random_projection") ? inputs.get("random_projection") : Tensor.zeros(0, 0);
    queries = projected(inputs.get("q"), omega, scale);
    keys = projected(inputs.get("k"), omega, scale);
    queryNorms = halfNorms(inputs.get("q"), scale);
    keyNorms = halfNorms(inputs.get("k"), scale);
    boolean circle = performer.kernel() == Performer.Kernel.SOFTMAX_TRIGONOMETRIC;
    queryCircle = circle ? circle(queries) : new double[0][];
    keyCircle = circle ? circle(keys) : new double[0][];
    queryMaxima = Arrays.stream(queries).mapToDouble(PerformerOracle::max).toArray();
    keyMaxima = Arrays.stream(keys).mapToDouble(PerformerOracle::max).toArray();
  }

  /// The output, through whose subtracted maxima no gradient flows: those of the first call for a
  /// problem serve all later ones for the same shape and mask.
  static Reference withConstantMaxima() {
    return new Reference() {
      private @Nullable PerformerOracle first;

      @Override
      public double[] out(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
        PerformerOracle oracle = new PerformerOracle((Performer) attention, shape, mask, inputs);
        PerformerOracle constants = first;
        if (constants == null
            || constants.shape != shape
            || constants.mask != mask
            || !constants.performer.equals(attention)) {
          first = oracle;
        } else {
          oracle.queryMaxima = constants.queryMaxima;
          oracle.keyMaxima = constants.keyMaxima;
        }
        return oracle.out(inputs.get("v"));
      }
    };
  }

  private static double[][] projected(Tensor x, Tensor omega, double scale) {
    int d = x.extent(3);
    double[][] u = new double[x.size() / d][];
    for (int row = 0; row < u.length; row++) {
      u[row] = new double[omega.size() == 0 ? d : omega.extent(0)];
      for (int a = 0; a < u[row].length; a++) {
        for (int c = 0; c < d; c++) {
          double direction = omega.size() == 0 ? (a == c ? 1 : 0) : omega.data()[a * d + c];
          u[row][a] += scale * direction * x.data()[row * d + c];
        }
      }
    }
    return u;
  }

  /// Points on circles, whose products are the cosines of differences: cos(u - w) = cos u cos w +
  /// sin u sin w.
  private static double[][] circle(double[][] angles) {
    double[][] points = new double[angles.length][];
    for (int row = 0; row < angles.length; row++) {
      points[row] = new double[2 * angles[row].length];
      for (int a = 0; a < angles[row].length; a++) {
        points[row][2 * a] = Math.cos(angles[row][a]);
        points[row][2 * a + 1] = Math.sin(angles[row][a]);
      }
    }
    return points;
  }

  private static double[] halfNorms(Tensor x, double scale) {
    int d = x.extent(3);
    double[] g = new double[x.size() / d];
    for (int e = 0; e < x.size(); e++) {
      g[e / d] += 0.5 * scale * scale * x.data()[e] * x.data()[e];
    }
    return g;
  }

  double weight(int b, int h, int i, int j) {
    int group = shape.numHeads() / shape.numKeyValueHeads();
    int q = (b * shape.numHeads() + h) * shape.querySeqLen() + i;
    int first = (b * shape.numKeyValueHeads() + h / group) * shape.keySeqLen();
    double eps = performer.epsOrDefault();
    double sum = 0;
    if (performer.kernel() == Performer.Kernel.SOFTMAX_HYPERBOLIC) {
      for (int a = 0; a < queries[q].length; a++) {
        double u = queries[q][a] + keys[first + j][a];
        sum += Math.exp(-queryNorms[q] - keyNorms[first + j]) * Math.cosh(u) / queries[q].length;
      }
      return sum;
    }
    if (performer.kernel() == Performer.Kernel.SOFTMAX_TRIGONOMETRIC) {
      double[] u = queryCircle[q];
      double[] w = keyCircle[first + j];
      for (int a = 0; a < u.length; a++) {
        sum += u[a] * w[a];
      }
      return sum / queries[q].length * Math.exp(keyNorms[first + j]);
    }
    if (!performer.kernel().isSoftmax()) {
      for (int a = 0; a < queries[q].length; a++) {
        sum += (Math.max(queries[q][a], 0) + eps) * (Math.max(keys[first + j][a], 0) + eps);
      }
      return sum;
    }
    double c = Double.NEGATIVE_INFINITY;
    for (int other = 0; other < shape.keySeqLen(); other++) {
      if (performer.stabiliser() == Performer.Stabiliser.GLOBAL
          || Oracle.sees(shape, mask, b, i, other)) {
        c = Math.max(c, keyMaxima[first + other]);
      }
    }
    double own = queryMaxima[q];
    for (int a = 0; a < queries[q].length; a++) {
      sum +=
          (Math.exp(queries[q][a] - queryNorms[q] - own) + eps)
              * (Math.exp(keys[first + j][a] - keyNorms[first + j] - c) + eps)
              / queries[q].length;
    }
    return sum;
  }

  /// The output: weighted means, whose denominators up to s get 2 s added.
  double[] out(Tensor value) {
    double s = performer.renormStabilizer().orElse(performer.kernel().isSoftmax() ? 1e-6 : 0);
    return Oracle.normalised(
        shape, mask, value, this::weight, sum -> Math.abs(sum) <= s ? sum + 2 * s : sum);
  }

  private static double max(double[] x) {
    double max = Double.NEGATIVE_INFINITY;
    for (double value : x) {
      max = Math.max(max, value);
    }
    return max;
  }
}
