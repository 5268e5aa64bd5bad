// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import java.util.List;

/// x_t = s E[token_t]. Backward: row v of the gradient is s times the sum over the positions of
/// token v, in their order; rows of absent tokens get nothing.
final class Embedding extends TableRows {
  private final int[] tokens;
  private final float scale;

  private Embedding(Graph graph, Value x, int[] tokens, Parameter table, double scale) {
    super(
        graph,
        x,
        List.of(),
        table.value().data(),
        graph.trains(table) ? table.gradient().data() : null);
    this.tokens = tokens;
    this.scale = (float) scale;
  }

  /// @param tokens one per row, read when the graph runs; the caller keeps them within the table
  static Value add(
      Graph graph, String name, Rows rows, int[] tokens, Parameter table, double scale) {
    Value x = graph.value(name, rows, 0, table.value().extent(1), List.of(), List.of(table));
    return graph.add(new Embedding(graph, x, tokens, table, scale));
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = output().data();
    for (int r = from; r < to; r++) {
      kernels.scale(width, scale, table, tokens[r] * width, x, r * width);
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    // the jobs do all of it: rows of one token meet in the table
  }

  @Override
  void addGradient(int row, int column, int count, float[] gradOut, float[] gradTable) {
    int at = row * width + column;
    kernels.axpy(count, scale, gradOut, at, gradTable, tokens[row] * width + column);
  }
}
