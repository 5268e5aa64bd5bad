// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;

/// The heads of a token side by side, `[rows, H dv]`.
final class MergeHeads extends Operation {
  private final Kernels kernels = Kernels.get();
  private final int heads;
  private final int dim;

  private MergeHeads(Graph graph, Value y, Value x) {
    super(graph, y, List.of(x));
    this.heads = x.heads();
    this.dim = x.dim();
  }

  static Value add(Graph graph, String name, Value x) {
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of());
    return graph.add(new MergeHeads(graph, y, x));
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] y = output().data();
    for (int r = from; r < to; r++) {
      for (int h = 0; h < heads; h++) {
        int at = (r * heads + h) * dim;
        System.arraycopy(x, input(0).at(r, h), y, at, dim);
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] dx = input(0).gradient();
    float[] dy = output().gradient();
    for (int r = from; r < to; r++) {
      for (int h = 0; h < heads; h++) {
        int at = input(0).at(r, h);
        int source = (r * heads + h) * dim;
        if (adds(0)) {
          kernels.add(dim, dx, at, dy, source, dx, at);
        } else {
          System.arraycopy(dy, source, dx, at, dim);
        }
      }
    }
  }
}
