// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// x_t = s E[token_t]. Backward: row v of the gradient is s times the sum over the positions of
/// token v, in their order; rows of absent tokens get nothing.
final class Embedding extends Operation {
  private static final int JOB_COLUMNS = 64;

  private final Kernels kernels = Kernels.get();
  private final int[] tokens;
  private final int width;
  private final float scale;
  private final float[] table;
  private final float @Nullable [] gradient;

  private Embedding(Graph graph, Value x, int[] tokens, Parameter table, double scale) {
    super(graph, x, List.of());
    this.tokens = tokens;
    this.width = x.width();
    this.scale = (float) scale;
    this.table = table.value().data();
    this.gradient = graph.trains(table) ? table.gradient().data() : null;
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
  protected int jobs() {
    return gradient == null ? 0 : Math.ceilDiv(width, JOB_COLUMNS);
  }

  @Override
  protected long jobWork() {
    return gradient == null ? 0 : (long) width * output().rows().active();
  }

  @Override
  protected void job(int worker, int index) {
    if (gradient == null) {
      return;
    }
    int column = index * JOB_COLUMNS;
    int count = Math.min(JOB_COLUMNS, width - column);
    float[] dx = output().gradient();
    for (int r = 0; r < output().rows().active(); r++) {
      kernels.axpy(count, scale, dx, r * width + column, gradient, tokens[r] * width + column);
    }
  }
}
