// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Reads a row of a table for every row of its output. Rows of the output that read the same one
/// meet in its gradient: jobs add them up by columns, in the order of the rows.
abstract class TableRows extends Operation {
  private static final int JOB_COLUMNS = 64;

  final Kernels kernels = Kernels.get();
  final int width;
  final float[] table;
  private final float @Nullable [] gradient;

  /// @param gradient of the table; null where it is not trained
  TableRows(Graph graph, Value y, List<Value> inputs, float[] table, float @Nullable [] gradient) {
    super(graph, y, inputs);
    this.width = y.width();
    this.table = table;
    this.gradient = gradient;
  }

  /// Adds some columns of a row's gradient to those of the row it read.
  ///
  /// @param row of the output
  /// @param count number of columns from `column`
  abstract void addGradient(int row, int column, int count, float[] gradOut, float[] gradTable);

  @Override
  protected final int jobs() {
    return gradient == null ? 0 : Math.ceilDiv(width, JOB_COLUMNS);
  }

  @Override
  protected final long jobWork() {
    return gradient == null ? 0 : (long) width * output().rows().active();
  }

  @Override
  protected final void job(int worker, int index) {
    if (gradient == null) {
      return;
    }
    int column = index * JOB_COLUMNS;
    int count = Math.min(JOB_COLUMNS, width - column);
    for (int row = 0; row < output().rows().active(); row++) {
      addGradient(row, column, count, output().gradient(), gradient);
    }
  }
}
