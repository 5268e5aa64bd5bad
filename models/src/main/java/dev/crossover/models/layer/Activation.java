// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.Elementary.Function;
import java.util.List;

/// y = f(x) element by element, or y = f(x) · u with a second input: SwiGLU, output gates, and the
/// tanh-sigmoid pair of gated convolutions.
///
/// Backward: dx = dy · u f'(x), du = dy · f(x).
final class Activation extends Operation {
  private final Function function;
  private final Function other;
  private final int width;

  private Activation(Graph graph, Value y, List<Value> inputs, Function function, Function other) {
    super(graph, y, inputs);
    this.function = function;
    this.other = other;
    this.width = y.width();
  }

  /// Adds f(x).
  static Value add(Graph graph, String name, Value x, Function function) {
    if (function == Function.NONE) {
      return x;
    }
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of());
    return graph.add(new Activation(graph, y, List.of(x), function, Function.NONE));
  }

  /// Adds f(x) · g(u).
  static Value product(
      Graph graph, String name, Value x, Function function, Value u, Function other) {
    if (x.width() != u.width()) {
      throw new IllegalArgumentException(
          name + " must gate " + u.width() + " numbers, but was " + x.width());
    }
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x, u), List.of());
    return graph.add(new Activation(graph, y, List.of(x, u), function, other));
  }

  @Override
  protected int scratch() {
    return 3 * width;
  }

  @Override
  protected long work() {
    return 8L * width;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] work = graph().scratch(worker);
    float[] y = output().data();
    float[] x = input(0).data();
    boolean gated = inputs().size() == 2;
    for (int r = from; r < to; r++) {
      int at = r * width;
      function.apply(width, x, at, y, at, work);
      if (gated) {
        float[] u = input(1).data();
        if (other != Function.NONE) {
          other.apply(width, u, at, work, width, work);
          multiply(width, y, at, work, width, y, at, false);
        } else {
          multiply(width, y, at, u, at, y, at, false);
        }
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] work = graph().scratch(worker);
    float[] dy = output().gradient();
    float[] x = input(0).data();
    boolean gated = inputs().size() == 2;
    for (int r = from; r < to; r++) {
      int at = r * width;
      if (wants(0)) {
        function.derivative(width, x, at, work, width, work);
        if (gated) {
          other.apply(width, input(1).data(), at, work, 2 * width, work);
          multiply(width, work, width, work, 2 * width, work, width, false);
        }
        multiply(width, dy, at, work, width, input(0).gradient(), at, adds(0));
      }
      if (gated && wants(1)) {
        function.apply(width, x, at, work, width, work);
        if (other != Function.NONE) {
          other.derivative(width, input(1).data(), at, work, 2 * width, work);
          multiply(width, work, width, work, 2 * width, work, width, false);
        }
        multiply(width, dy, at, work, width, input(1).gradient(), at, adds(1));
      }
    }
  }

  /// `z (+)= x y`.
  private static void multiply(
      int n, float[] x, int xo, float[] y, int yo, float[] z, int zo, boolean add) {
    if (add) {
      for (int i = 0; i < n; i++) {
        z[zo + i] += x[xo + i] * y[yo + i];
      }
    } else {
      for (int i = 0; i < n; i++) {
        z[zo + i] = x[xo + i] * y[yo + i];
      }
    }
  }
}
