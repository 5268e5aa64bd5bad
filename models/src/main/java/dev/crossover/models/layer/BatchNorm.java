// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Workers;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Team;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Batch norm over tokens (Ioffe, Szegedy 2015): statistics per channel over all tokens of the
/// batch that are not padding. Padded tokens are normalised with the same numbers.
///
/// Training: y = (x − μ)/√(σ² + ε) w + b with the biased variance; the running statistics move by
/// the momentum towards μ and the unbiased variance. Otherwise the running statistics are used and
/// are constants. With g = dy · w, sums over all tokens and N tokens that count:
/// dx = (g − [counts] (Σ g + x̂ Σ g x̂)/N) / √(σ² + ε).
final class BatchNorm extends Operation {
  private static final int COUNT = 0;

  private final int width;
  private final boolean training;
  private final double eps;
  private final double momentum;
  private final @Nullable Padding padding;
  private final float[] weight;
  private final float @Nullable [] bias;
  private final float[] runningMean;
  private final float[] runningVariance;
  private final float @Nullable [] gradWeight;
  private final float @Nullable [] gradBias;
  private final double[] sums;
  private final double[] mean;
  private final double[] variance;
  private final float[] centre;
  private final float[] factor;
  private final double[] first;
  private final double[] second;
  private final double[] counts;
  private final Workers.Task sumTask = this::sumBlock;
  private final Workers.Task squareTask = this::squareBlock;
  private final Workers.Task applyTask = this::applyBlock;
  private final Workers.Task gradientSums = this::gradientSums;
  private final Workers.Task gradientTask = this::gradientBlock;

  private BatchNorm(
      Graph graph, Value y, Value x, String prefix, LayerOptions options, @Nullable Padding pad) {
    super(graph, y, List.of(x));
    width = x.width();
    training = options.training();
    eps = options.normEps();
    momentum = options.normMomentum();
    padding = pad;
    Parameter weightParameter = graph.parameters().get(prefix + "weight");
    Parameter biasParameter = graph.parameters().find(prefix + "bias");
    weight = weightParameter.value().data();
    bias = biasParameter == null ? null : biasParameter.value().data();
    runningMean = graph.parameters().get(prefix + "running_mean").value().data();
    runningVariance = graph.parameters().get(prefix + "running_variance").value().data();
    gradWeight = graph.trains(weightParameter) ? weightParameter.gradient().data() : null;
    gradBias =
        biasParameter != null && graph.trains(biasParameter)
            ? biasParameter.gradient().data()
            : null;
    int blocks = x.rows().mostBlocks();
    sums = graph.layout().doubles(2L * blocks * width);
    counts = graph.layout().doubles(blocks);
    mean = graph.layout().doubles(width);
    variance = graph.layout().doubles(width);
    first = graph.layout().doubles(width);
    second = graph.layout().doubles(width);
    centre = graph.layout().floats(width);
    factor = graph.layout().floats(width);
  }

  static Value add(
      Graph graph, String prefix, Value x, LayerOptions options, @Nullable Padding padding) {
    Parameter weight = graph.parameters().get(prefix + "weight");
    Parameter bias = graph.parameters().find(prefix + "bias");
    List<@Nullable Parameter> used = Arrays.asList(weight, bias);
    Value y = graph.value(prefix + "out", x.rows(), 0, x.width(), List.of(x), used);
    return graph.add(new BatchNorm(graph, y, x, prefix, options, padding));
  }

  @Override
  protected Reach reach() {
    return Reach.WHOLE;
  }

  private boolean isReal(int row) {
    return padding == null || padding.isReal(row);
  }

  private long total() {
    return 4L * width * input(0).rows().active();
  }

  @Override
  protected void forward(Team team) {
    Rows rows = input(0).rows();
    if (training) {
      team.run(rows.blocks(), total(), sumTask);
      double n = 0;
      for (int block = 0; block < rows.blocks(); block++) {
        n += counts[block];
      }
      counts[COUNT] = n;
      reduce(rows, 0, mean);
      divide(mean, Math.max(1, n));
      team.run(rows.blocks(), total(), squareTask);
      reduce(rows, 0, variance);
      divide(variance, Math.max(1, n));
      move(n);
    } else {
      for (int c = 0; c < width; c++) {
        mean[c] = runningMean[c];
        variance[c] = runningVariance[c];
      }
    }
    for (int c = 0; c < width; c++) {
      centre[c] = (float) mean[c];
      factor[c] = (float) (1 / Math.sqrt(variance[c] + eps));
    }
    team.run(rows.blocks(), total(), applyTask);
  }

  private void move(double n) {
    for (int c = 0; n > 0 && c < width; c++) {
      double unbiased = n > 1 ? variance[c] * n / (n - 1) : variance[c];
      runningMean[c] = (float) ((1 - momentum) * runningMean[c] + momentum * mean[c]);
      runningVariance[c] = (float) ((1 - momentum) * runningVariance[c] + momentum * unbiased);
    }
  }

  private void reduce(Rows rows, int half, double[] total) {
    Arrays.fill(total, 0);
    for (int block = 0; block < rows.blocks(); block++) {
      for (int c = 0; c < width; c++) {
        total[c] += sums[(2 * block + half) * width + c];
      }
    }
  }

  private static void divide(double[] values, double by) {
    for (int c = 0; c < values.length; c++) {
      values[c] /= by;
    }
  }

  private void sumBlock(int worker, int block) {
    Rows rows = input(0).rows();
    float[] x = input(0).data();
    int at = 2 * block * width;
    Arrays.fill(sums, at, at + width, 0);
    int counted = 0;
    for (int r = start(rows, block); r < end(rows, block); r++) {
      if (isReal(r)) {
        counted++;
        for (int c = 0; c < width; c++) {
          sums[at + c] += x[r * width + c];
        }
      }
    }
    counts[block] = counted;
  }

  private void squareBlock(int worker, int block) {
    Rows rows = input(0).rows();
    float[] x = input(0).data();
    int at = 2 * block * width;
    Arrays.fill(sums, at, at + width, 0);
    for (int r = start(rows, block); r < end(rows, block); r++) {
      if (isReal(r)) {
        for (int c = 0; c < width; c++) {
          double distance = x[r * width + c] - mean[c];
          sums[at + c] += distance * distance;
        }
      }
    }
  }

  private void applyBlock(int worker, int block) {
    Rows rows = input(0).rows();
    float[] x = input(0).data();
    float[] y = output().data();
    for (int r = start(rows, block); r < end(rows, block); r++) {
      int at = r * width;
      for (int c = 0; c < width; c++) {
        y[at + c] = (x[at + c] - centre[c]) * factor[c] * weight[c];
      }
      if (bias != null) {
        for (int c = 0; c < width; c++) {
          y[at + c] += bias[c];
        }
      }
    }
  }

  @Override
  protected void backward(Team team) {
    Rows rows = input(0).rows();
    double n = Math.max(1, counts[COUNT]);
    team.run(rows.blocks(), total(), gradientSums);
    reduce(rows, 0, first);
    reduce(rows, 1, second);
    for (int c = 0; c < width; c++) {
      if (gradBias != null) {
        gradBias[c] += (float) first[c];
      }
      if (gradWeight != null) {
        gradWeight[c] += (float) second[c];
      }
      first[c] = training ? first[c] / n : 0;
      second[c] = training ? second[c] / n : 0;
    }
    if (wants(0)) {
      team.run(rows.blocks(), total(), gradientTask);
    }
  }

  /// Σ dy and Σ dy x̂ over all tokens of a block.
  private void gradientSums(int worker, int block) {
    Rows rows = input(0).rows();
    float[] x = input(0).data();
    float[] dy = output().gradient();
    int at = 2 * block * width;
    Arrays.fill(sums, at, at + 2 * width, 0);
    for (int r = start(rows, block); r < end(rows, block); r++) {
      for (int c = 0; c < width; c++) {
        float g = dy[r * width + c];
        sums[at + c] += g;
        sums[at + width + c] += g * ((x[r * width + c] - centre[c]) * factor[c]);
      }
    }
  }

  private void gradientBlock(int worker, int block) {
    Rows rows = input(0).rows();
    float[] x = input(0).data();
    float[] dy = output().gradient();
    float[] dx = input(0).gradient();
    for (int r = start(rows, block); r < end(rows, block); r++) {
      boolean real = isReal(r);
      for (int c = 0; c < width; c++) {
        int i = r * width + c;
        double g = dy[i];
        if (real) {
          g -= first[c] + (x[i] - centre[c]) * factor[c] * second[c];
        }
        float d = (float) (g * weight[c] * factor[c]);
        dx[i] = adds(0) ? dx[i] + d : d;
      }
    }
  }

  private static int start(Rows rows, int block) {
    return block * rows.block();
  }

  private static int end(Rows rows, int block) {
    return Math.min(rows.active(), (block + 1) * rows.block());
  }
}
