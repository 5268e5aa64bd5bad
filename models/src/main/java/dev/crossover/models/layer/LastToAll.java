// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;

/// The last row of every sequence at all of its positions: what an auto-encoder's decoder sees.
final class LastToAll extends Operation {
  private final Kernels kernels = Kernels.get();
  private final int width;

  private LastToAll(Graph graph, Value y, Value x) {
    super(graph, y, List.of(x));
    this.width = x.width();
  }

  static Value add(Graph graph, String name, Value x) {
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of());
    return graph.add(new LastToAll(graph, y, x));
  }

  @Override
  protected Reach reach() {
    return Reach.NEIGHBOURS;
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    int n = output().rows().length();
    for (int r = from; r < to; r++) {
      int last = (r / n + 1) * n - 1;
      System.arraycopy(input(0).data(), last * width, output().data(), r * width, width);
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] dx = input(0).gradient();
    float[] dy = output().gradient();
    int n = output().rows().length();
    for (int r = from; r < to; r++) {
      int at = r * width;
      if (!adds(0)) {
        Arrays.fill(dx, at, at + width, 0);
      }
      for (int t = 0; r % n == n - 1 && t < n; t++) {
        kernels.add(width, dx, at, dy, (r - t) * width, dx, at);
      }
    }
  }
}
