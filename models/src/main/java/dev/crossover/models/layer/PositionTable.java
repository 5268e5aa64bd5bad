// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// y_t = x_t + P_t, a row per position: trained, or sines and cosines interleaved (Vaswani et al.
/// 2017, section 3.5): P_{t,2a} = sin(t · 10000^(−2a/D)), P_{t,2a+1} = cos of the same.
final class PositionTable extends TableRows {
  private static final double BASE = 10_000;

  private final @Nullable Decoding decoding;

  private PositionTable(
      Graph graph,
      Value y,
      Value x,
      float[] table,
      float @Nullable [] gradient,
      @Nullable Decoding decoding) {
    super(graph, y, List.of(x), table, gradient);
    this.decoding = decoding;
  }

  /// Adds a trained table.
  static Value learned(
      Graph graph, String name, Value x, Parameter table, @Nullable Decoding decoding) {
    int positions = table.value().extent(0);
    if (length(x, decoding) > positions || table.value().extent(1) != x.width()) {
      throw new IllegalArgumentException(
          table.name()
              + " must hold at least "
              + length(x, decoding)
              + " positions of "
              + x.width()
              + ", but was "
              + table.value());
    }
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of(table));
    float[] gradient = graph.trains(table) ? table.gradient().data() : null;
    return graph.add(new PositionTable(graph, y, x, table.value().data(), gradient, decoding));
  }

  /// Adds sines and cosines.
  static Value sinusoidal(Graph graph, String name, Value x, @Nullable Decoding decoding) {
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of());
    int n = length(x, decoding);
    float[] table = graph.layout().floats((long) n * x.width());
    for (int t = 0; t < n; t++) {
      row(t, x.width(), table, t * x.width());
    }
    return graph.add(new PositionTable(graph, y, x, table, null, decoding));
  }

  /// Number of positions that are needed.
  private static int length(Value x, @Nullable Decoding decoding) {
    return decoding == null ? x.rows().length() : decoding.longest();
  }

  /// The row of one position.
  static void row(int position, int width, float[] row, int at) {
    for (int c = 0; c < width; c++) {
      double angle = position * Math.pow(BASE, -(double) (c - c % 2) / width);
      row[at + c] = (float) (c % 2 == 0 ? Math.sin(angle) : Math.cos(angle));
    }
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected boolean passesGradient(int i) {
    return true;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    int n = output().rows().length();
    float[] x = input(0).data();
    float[] y = output().data();
    for (int r = from; r < to; r++) {
      int t = decoding == null ? r % n : decoding.position();
      kernels.add(width, x, r * width, table, t * width, y, r * width);
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    Sum.pass(kernels, this, 0, from, to);
  }

  @Override
  void addGradient(int row, int column, int count, float[] gradOut, float[] gradTable) {
    int to = row % output().rows().length() * width + column;
    kernels.add(count, gradTable, to, gradOut, row * width + column, gradTable, to);
  }
}
