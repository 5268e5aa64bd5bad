// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Partial;
import dev.crossover.models.graph.Value;
import dev.crossover.models.graph.Weight;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A map: y = x Wᵀ + b, W `[out, in]`, b `[out]`.
///
/// Backward: dx = dy W, dW = dyᵀ x, db = Σ dy. A map may be some rows of a larger weight, as query,
/// key and value are of a packed one.
final class Linear extends Operation {
  private static final int JOB_ROWS = 128;
  private static final int JOB_COLUMNS = 256;
  private static final int JOB_TOKENS = 128;
  private static final int ROW_STRIDE = JOB_ROWS + 16;
  private static final int COLUMN_STRIDE = JOB_COLUMNS + 16;

  private final Kernels kernels = Kernels.get();
  private final Weight weight;
  private final int out;
  private final int in;
  private final float @Nullable [] bias;
  private final int biasFrom;
  private final float @Nullable [] gradWeight;
  private final @Nullable Partial gradBias;

  private Linear(Graph graph, Value y, Value x, Weight weight, @Nullable Parameter bias, int from) {
    super(graph, y, List.of(x));
    this.weight = weight;
    this.out = weight.out();
    this.in = weight.in();
    this.bias = bias == null ? null : bias.value().data();
    this.biasFrom = from;
    this.gradWeight =
        graph.trains(weight.parameter()) ? weight.parameter().gradient().data() : null;
    this.gradBias = partial(bias, from, out);
  }

  /// Adds a map with all rows of a weight.
  static Value add(Graph graph, String name, Value x, Parameter weight, @Nullable Parameter bias) {
    return add(graph, name, x, weight, bias, 0, weight.value().extent(0));
  }

  /// Adds a map with `out` rows of a weight and a bias, from row `from`.
  static Value add(
      Graph graph,
      String name,
      Value x,
      Parameter weight,
      @Nullable Parameter bias,
      int from,
      int out) {
    int rows = weight.value().extent(0);
    if (weight.value().size() != (long) rows * x.width() || from + out > rows) {
      throw new IllegalArgumentException(
          weight.name()
              + " must be a map of "
              + x.width()
              + " to at least "
              + (from + out)
              + " numbers, but was "
              + weight.value());
    }
    if (bias != null && bias.value().size() != rows) {
      throw new IllegalArgumentException(
          bias.name() + " must hold " + rows + " numbers, but was " + bias.value());
    }
    List<@Nullable Parameter> used = Arrays.asList(weight, bias);
    Value y = graph.value(name, x.rows(), 0, out, List.of(x), used);
    Weight packed = graph.weight(weight, from, out, x.needsGradient());
    return graph.add(new Linear(graph, y, x, packed, bias, from));
  }

  @Override
  protected boolean keepsInput(int i) {
    return gradWeight != null;
  }

  @Override
  protected long work() {
    return (long) in * out;
  }

  @Override
  protected int scratch() {
    return gradWeight == null ? 0 : JOB_TOKENS * (ROW_STRIDE + COLUMN_STRIDE);
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] y = output().data();
    weight.apply(to - from, input(0).data(), from * in, in, y, from * out, out, false);
    if (bias != null) {
      for (int r = from; r < to; r++) {
        addRow(out, bias, biasFrom, y, r * out);
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] dy = output().gradient();
    if (wants(0)) {
      float[] dx = input(0).gradient();
      weight.applyTransposed(to - from, dy, from * out, out, dx, from * in, in, adds(0));
    }
    if (gradBias != null) {
      int at = gradBias.start(from);
      for (int r = from; r < to; r++) {
        addRow(out, dy, r * out, gradBias.sums(), at);
      }
    }
  }

  private static void addRow(int n, float[] row, int ro, float[] sum, int so) {
    for (int c = 0; c < n; c++) {
      sum[so + c] += row[ro + c];
    }
  }

  @Override
  protected int jobs() {
    return gradWeight == null ? 0 : Math.ceilDiv(out, JOB_ROWS) * Math.ceilDiv(in, JOB_COLUMNS);
  }

  @Override
  protected long jobWork() {
    return gradWeight == null ? 0 : (long) in * out * output().rows().active();
  }

  /// A block of dW, over all tokens in their order. Some tokens' parts of dy and x are copied side
  /// by side first: as they lie, rows are often a multiple of 1 KiB apart and push each other out
  /// of the first-level cache.
  @Override
  protected void job(int worker, int index) {
    if (gradWeight == null) {
      return;
    }
    int acrossIn = Math.ceilDiv(in, JOB_COLUMNS);
    int row = index / acrossIn * JOB_ROWS;
    int column = index % acrossIn * JOB_COLUMNS;
    int rows = Math.min(JOB_ROWS, out - row);
    int columns = Math.min(JOB_COLUMNS, in - column);
    int tokens = output().rows().active();
    float[] work = graph().scratch(worker);
    int second = JOB_TOKENS * ROW_STRIDE;
    for (int t = 0; t < tokens; t += JOB_TOKENS) {
      int count = Math.min(JOB_TOKENS, tokens - t);
      copy(output().gradient(), t * out + row, out, rows, count, work, 0, ROW_STRIDE);
      copy(input(0).data(), t * in + column, in, columns, count, work, second, COLUMN_STRIDE);
      kernels.multiplyTransposedA(
          rows,
          columns,
          count,
          work,
          0,
          ROW_STRIDE,
          work,
          second,
          COLUMN_STRIDE,
          gradWeight,
          weight.offset() + row * in + column,
          in,
          true);
    }
  }

  private static void copy(
      float[] from, int at, int stride, int width, int count, float[] to, int start, int into) {
    for (int i = 0; i < count; i++) {
      System.arraycopy(from, at + i * stride, to, start + i * into, width);
    }
  }
}
