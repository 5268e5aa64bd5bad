// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Partial;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// y = o + skip_h v, head by head: Mamba-2's D.
final class Skip extends Operation {
  private final Kernels kernels = Kernels.get();
  private final int heads;
  private final int dim;
  private final float[] skip;
  private final @Nullable Partial gradient;

  private Skip(Graph graph, Value y, Value o, Value v, Parameter skip) {
    super(graph, y, List.of(o, v));
    this.heads = o.heads();
    this.dim = o.dim();
    this.skip = skip.value().data();
    gradient = partial(skip);
  }

  static Value add(Graph graph, String name, Value o, Value v, Parameter skip) {
    if (skip.value().size() != o.heads() || v.width() != o.width()) {
      throw new IllegalArgumentException(
          skip.name() + " must hold " + o.heads() + " numbers, but was " + skip.value());
    }
    Value y = graph.value(name, o.rows(), o.heads(), o.width(), List.of(o, v), List.of(skip));
    return graph.add(new Skip(graph, y, o, v, skip));
  }

  @Override
  protected boolean keepsInput(int i) {
    return i == 1;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] y = output().data();
    for (int h = 0; h < heads; h++) {
      for (int r = from; r < to; r++) {
        int at = output().at(r, h);
        System.arraycopy(input(0).data(), at, y, at, dim);
        kernels.axpy(dim, skip[h], input(1).data(), at, y, at);
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] g = output().gradient();
    int sums = gradient == null ? 0 : gradient.start(from);
    for (int h = 0; h < heads; h++) {
      double sum = 0;
      for (int r = from; r < to; r++) {
        int at = output().at(r, h);
        sum += kernels.dot(dim, g, at, input(1).data(), at);
        add(0, 1, g, at);
        add(1, skip[h], g, at);
      }
      if (gradient != null) {
        gradient.sums()[sums + h] += (float) sum;
      }
    }
  }

  private void add(int i, float factor, float[] g, int at) {
    if (wants(i) && adds(i)) {
      kernels.axpy(dim, factor, g, at, input(i).gradient(), at);
    } else if (wants(i)) {
      kernels.scale(dim, factor, g, at, input(i).gradient(), at);
    }
  }
}
