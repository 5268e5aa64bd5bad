// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;

/// Values times the time step of their token and head, as Mamba-2 writes them.
final class ScaledValues extends Operation {
  private final Kernels kernels = Kernels.get();
  private final int heads;
  private final int dim;

  private ScaledValues(Graph graph, Value y, Value v, Value step) {
    super(graph, y, List.of(v, step));
    this.heads = v.heads();
    this.dim = v.dim();
  }

  static Value add(Graph graph, String name, Value v, Value step) {
    if (v.heads() != step.heads()) {
      throw new IllegalArgumentException(
          name + " must have " + step.heads() + " heads, but was " + v.heads());
    }
    Value y = graph.value(name, v.rows(), v.heads(), v.width(), List.of(v, step), List.of());
    return graph.add(new ScaledValues(graph, y, v, step));
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] y = output().data();
    for (int h = 0; h < heads; h++) {
      for (int r = from; r < to; r++) {
        int at = output().at(r, h);
        float step = input(1).data()[input(1).at(r, h)];
        kernels.scale(dim, step, input(0).data(), at, y, at);
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] g = output().gradient();
    for (int h = 0; h < heads; h++) {
      for (int r = from; r < to; r++) {
        int at = output().at(r, h);
        int s = input(1).at(r, h);
        float step = input(1).data()[s];
        if (wants(1)) {
          float d = kernels.dot(dim, g, at, input(0).data(), at);
          float[] ds = input(1).gradient();
          ds[s] = adds(1) ? ds[s] + d : d;
        }
        if (wants(0) && adds(0)) {
          kernels.axpy(dim, step, g, at, input(0).gradient(), at);
        } else if (wants(0)) {
          kernels.scale(dim, step, g, at, input(0).gradient(), at);
        }
      }
    }
  }
}
