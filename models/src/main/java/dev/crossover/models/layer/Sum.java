// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;

/// z = x + y: a residual connection. Both gradients are that of the sum.
final class Sum extends Operation {
  private final Kernels kernels = Kernels.get();

  private Sum(Graph graph, Value z, Value x, Value y) {
    super(graph, z, List.of(x, y));
  }

  static Value add(Graph graph, String name, Value x, Value y) {
    if (x.width() != y.width()) {
      throw new IllegalArgumentException(
          name + " must add rows of " + x.width() + ", but was " + y.width());
    }
    Value z = graph.value(name, x.rows(), 0, x.width(), List.of(x, y), List.of());
    return graph.add(new Sum(graph, z, x, y));
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
    int width = output().width();
    int at = from * width;
    kernels.add((to - from) * width, input(0).data(), at, input(1).data(), at, output().data(), at);
  }

  @Override
  protected void backward(int worker, int from, int to) {
    for (int i = 0; i < 2; i++) {
      pass(kernels, this, i, from, to);
    }
  }

  /// Hands rows of the output's gradient on to an input that does not share it.
  static void pass(Kernels kernels, Operation operation, int i, int from, int to) {
    Value input = operation.inputs().get(i);
    Value output = operation.output();
    if (!input.needsGradient() || Graph.sharesGradient(input, output)) {
      return;
    }
    int at = from * output.width();
    int count = (to - from) * output.width();
    if (operation.addsTo(i)) {
      kernels.add(count, input.gradient(), at, output.gradient(), at, input.gradient(), at);
    } else {
      System.arraycopy(output.gradient(), at, input.gradient(), at, count);
    }
  }
}
