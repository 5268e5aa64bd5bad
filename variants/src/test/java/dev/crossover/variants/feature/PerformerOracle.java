// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.ContractSubject.Reference;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.Remembered;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The weights of Performer from its definition, in double precision: the key maximum of every row
/// is taken over the keys that row may see, or over all. Trigonometric features are not scaled by
/// their largest norm, which cancels.
final class PerformerOracle {
  private static final Remembered<double[][]> POINTS = new Remembered<>();

  private final Performer performer;
  private final AttentionShape shape;
  private final Mask mask;
  private final double[][] queries;
  private final double[][] keys;
  private final double[] queryNorms;
  private final double[] keyNorms;
  private final double[][] queryPoints;
  private final double[][] keyPoints;
  private final Exponentials queryExponentials;
  private final Exponentials keyExponentials;
  private double[] queryMaxima;
  private double[] keyMaxima;
  private int maximumOf = -1;
  private double maximum;

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
    List<Tensor> readForQueries = List.of(inputs.get("q"), omega);
    List<Tensor> readForKeys = List.of(inputs.get("k"), omega);
    queryPoints = POINTS.of(performer, readForQueries, () -> points(queries));
    keyPoints = POINTS.of(performer, readForKeys, () -> points(keys));
    queryExponentials = new Exponentials(queries, queryNorms, performer.epsOrDefault());
    keyExponentials = new Exponentials(keys, keyNorms, performer.epsOrDefault());
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
        double sum = omega.size() == 0 ? scale * x.data()[row * d + a] : 0;
        for (int c = 0; c < d && omega.size() > 0; c++) {
          sum += scale * omega.data()[a * d + c] * x.data()[row * d + c];
        }
        u[row][a] = sum;
      }
    }
    return u;
  }

  /// Points on circles or hyperbolas, whose products give a function of a difference or sum: cos(u
  /// - w) = cos u cos w + sin u sin w and 2 cosh(u + w) = exp(u) exp(w) + exp(-u) exp(-w).
  private double[][] points(double[][] angles) {
    boolean circle = performer.kernel() == Performer.Kernel.SOFTMAX_TRIGONOMETRIC;
    boolean hyperbola = performer.kernel() == Performer.Kernel.SOFTMAX_HYPERBOLIC;
    double[][] points = new double[circle || hyperbola ? angles.length : 0][];
    for (int row = 0; row < points.length; row++) {
      points[row] = new double[2 * angles[row].length];
      for (int a = 0; a < angles[row].length; a++) {
        double u = angles[row][a];
        points[row][2 * a] = circle ? Math.cos(u) : Math.exp(u);
        points[row][2 * a + 1] = circle ? Math.sin(u) : Math.exp(-u);
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
    if (queryPoints.length > 0) {
      double[] u = queryPoints[q];
      double[] w = keyPoints[first + j];
      for (int a = 0; a < u.length; a++) {
        sum += u[a] * w[a];
      }
      sum /= queries[q].length;
      return performer.kernel() == Performer.Kernel.SOFTMAX_TRIGONOMETRIC
          ? sum * Math.exp(keyNorms[first + j])
          : sum / 2 * Math.exp(-queryNorms[q] - keyNorms[first + j]);
    }
    if (!performer.kernel().isSoftmax()) {
      for (int a = 0; a < queries[q].length; a++) {
        sum += (Math.max(queries[q][a], 0) + eps) * (Math.max(keys[first + j][a], 0) + eps);
      }
      return sum;
    }
    double[] x = queryExponentials.below(q, queryMaxima[q]);
    double[] y = keyExponentials.below(first + j, keyMaximum(b, i, q, first));
    for (int a = 0; a < x.length; a++) {
      sum += x[a] * y[a] / x.length;
    }
    return sum;
  }

  /// The largest maximum of the keys that a row may see, or of all.
  private double keyMaximum(int b, int i, int row, int first) {
    if (maximumOf != row) {
      maximumOf = row;
      maximum = Double.NEGATIVE_INFINITY;
      for (int other = 0; other < shape.keySeqLen(); other++) {
        if (performer.stabiliser() == Performer.Stabiliser.GLOBAL
            || Oracle.sees(shape, mask, b, i, other)) {
          maximum = Math.max(maximum, keyMaxima[first + other]);
        }
      }
    }
    return maximum;
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

  /// `exp(u − norm − c) + eps` of every row, kept for the c asked last: running maxima seldom move.
  private static final class Exponentials {
    private final double[][] u;
    private final double[] norms;
    private final double eps;
    private final double[][] kept;
    private final double[] keptFor;

    Exponentials(double[][] u, double[] norms, double eps) {
      this.u = u;
      this.norms = norms;
      this.eps = eps;
      kept = new double[u.length][];
      keptFor = new double[u.length];
      Arrays.fill(keptFor, Double.NaN);
    }

    double[] below(int row, double c) {
      if (keptFor[row] != c) {
        keptFor[row] = c;
        kept[row] = new double[u[row].length];
        for (int a = 0; a < u[row].length; a++) {
          kept[row][a] = Math.exp(u[row][a] - norms[row] - c) + eps;
        }
      }
      return kept[row];
    }
  }
}
