// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Partial;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Layer norm and RMS norm over the last axis, or over each of several segments of it that share
/// their weights (a norm per head).
///
/// Layer norm (Ba et al. 2016), x̂ = (x − μ)/√(σ² + ε), y = x̂ w + b. With g = dy · w:
/// dx = (g − mean(g) − x̂ mean(g x̂)) / √(σ² + ε). RMS norm (Zhang, Sennrich 2019) is the same
/// without the mean: x̂ = x/√(mean(x²) + ε).
///
/// Rows are worked on in double: what is left of g after its mean and its part along x̂ are taken
/// off may be small beside both, and a model trained with Adam follows the rounding of small
/// gradients.
final class Norm extends Operation {
  private final int width;
  private final int segments;
  private final boolean centred;
  private final double eps;
  private final float[] weight;
  private final float @Nullable [] bias;
  private final @Nullable Partial gradWeight;
  private final @Nullable Partial gradBias;
  private final double[] means;
  private final double[] factors;

  private Norm(
      Graph graph,
      Value y,
      Value x,
      Parameter weight,
      @Nullable Parameter bias,
      boolean centred,
      double eps) {
    super(graph, y, List.of(x));
    this.width = weight.value().size();
    this.segments = x.width() / width;
    this.centred = centred;
    this.eps = eps;
    this.weight = weight.value().data();
    this.bias = bias == null ? null : bias.value().data();
    gradWeight = partial(weight);
    gradBias = partial(bias);
    long rows = (long) x.rows().capacity() * segments;
    means = graph.layout().doubles(centred ? rows : 0);
    factors = graph.layout().doubles(rows);
  }

  /// Adds a norm whose weight says over how many elements.
  ///
  /// @param centred layer norm (true) or RMS norm (false)
  static Value add(
      Graph graph,
      String name,
      Value x,
      Parameter weight,
      @Nullable Parameter bias,
      boolean centred,
      double eps) {
    if (x.width() % weight.value().size() != 0) {
      throw new IllegalArgumentException(
          weight.name() + " must divide rows of " + x.width() + ", but was " + weight.value());
    }
    List<@Nullable Parameter> used = Arrays.asList(weight, bias);
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), used);
    return graph.add(new Norm(graph, y, x, weight, bias, centred, eps));
  }

  @Override
  protected long work() {
    return 8L * width * segments;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] y = output().data();
    for (int row = from * segments; row < to * segments; row++) {
      int at = row * width;
      double mean = centred ? sum(x, at) / width : 0;
      double factor = 1 / Math.sqrt(squares(x, at, mean) / width + eps);
      if (centred) {
        means[row] = mean;
      }
      factors[row] = factor;
      if (bias == null) {
        for (int c = 0; c < width; c++) {
          y[at + c] = (float) ((x[at + c] - mean) * factor * weight[c]);
        }
      } else {
        for (int c = 0; c < width; c++) {
          y[at + c] = (float) ((x[at + c] - mean) * factor * weight[c] + bias[c]);
        }
      }
    }
  }

  /// Four sums side by side: one would wait for every addition.
  private double sum(float[] x, int at) {
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    int c = 0;
    for (; c + 4 <= width; c += 4) {
      s0 += x[at + c];
      s1 += x[at + c + 1];
      s2 += x[at + c + 2];
      s3 += x[at + c + 3];
    }
    for (; c < width; c++) {
      s0 += x[at + c];
    }
    return s0 + s1 + (s2 + s3);
  }

  private double squares(float[] x, int at, double mean) {
    double s0 = 0;
    double s1 = 0;
    double s2 = 0;
    double s3 = 0;
    int c = 0;
    for (; c + 4 <= width; c += 4) {
      double d0 = x[at + c] - mean;
      double d1 = x[at + c + 1] - mean;
      double d2 = x[at + c + 2] - mean;
      double d3 = x[at + c + 3] - mean;
      s0 += d0 * d0;
      s1 += d1 * d1;
      s2 += d2 * d2;
      s3 += d3 * d3;
    }
    for (; c < width; c++) {
      double d = x[at + c] - mean;
      s0 += d * d;
    }
    return s0 + s1 + (s2 + s3);
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] dy = output().gradient();
    int dw = gradWeight == null ? 0 : gradWeight.start(from);
    int db = gradBias == null ? 0 : gradBias.start(from);
    for (int row = from * segments; row < to * segments; row++) {
      int at = row * width;
      double mean = centred ? means[row] : 0;
      double factor = factors[row];
      if (gradWeight != null) {
        float[] sums = gradWeight.sums();
        for (int c = 0; c < width; c++) {
          sums[dw + c] += (float) (dy[at + c] * ((x[at + c] - mean) * factor));
        }
      }
      if (gradBias != null) {
        float[] sums = gradBias.sums();
        for (int c = 0; c < width; c++) {
          sums[db + c] += dy[at + c];
        }
      }
      if (wants(0)) {
        gradient(x, dy, at, mean, factor);
      }
    }
  }

  /// dx of one row.
  private void gradient(float[] x, float[] dy, int at, double mean, double factor) {
    double g0 = 0;
    double g1 = 0;
    double a0 = 0;
    double a1 = 0;
    int i = 0;
    for (; i + 2 <= width; i += 2) {
      double first = (double) dy[at + i] * weight[i];
      double second = (double) dy[at + i + 1] * weight[i + 1];
      g0 += first;
      g1 += second;
      a0 += first * (x[at + i] - mean);
      a1 += second * (x[at + i + 1] - mean);
    }
    for (; i < width; i++) {
      double g = (double) dy[at + i] * weight[i];
      g0 += g;
      a0 += g * (x[at + i] - mean);
    }
    double average = centred ? (g0 + g1) / width : 0;
    double along = (a0 + a1) * factor * factor / width;
    float[] dx = input(0).gradient();
    if (adds(0)) {
      for (int c = 0; c < width; c++) {
        double g = (double) dy[at + c] * weight[c];
        dx[at + c] += (float) (factor * (g - average - (x[at + c] - mean) * along));
      }
    } else {
      for (int c = 0; c < width; c++) {
        double g = (double) dy[at + c] * weight[c];
        dx[at + c] = (float) (factor * (g - average - (x[at + c] - mean) * along));
      }
    }
  }
}
