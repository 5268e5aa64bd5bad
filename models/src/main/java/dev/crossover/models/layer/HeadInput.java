// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import dev.crossover.models.layer.Elementary.Function;
import java.util.List;

/// What a mechanism takes beside q, k, v: y = factor · f(x), split into heads. Write strengths,
/// forget gates and branch gates.
final class HeadInput extends Operation {
  private final Function function;
  private final float factor;
  private final int heads;
  private final int dim;
  private final int width;

  private HeadInput(Graph graph, Value y, Value x, Function function, double factor) {
    super(graph, y, List.of(x));
    this.function = function;
    this.factor = (float) factor;
    this.heads = y.heads();
    this.dim = y.dim();
    this.width = x.width();
  }

  static Value add(Graph graph, String name, Value x, int heads, Function function, double factor) {
    if (x.width() % heads != 0) {
      throw new IllegalArgumentException(
          name + " must have a multiple of " + heads + " channels, but was " + x.width());
    }
    Value y = graph.value(name, x.rows(), heads, x.width(), List.of(x), List.of());
    return graph.add(new HeadInput(graph, y, x, function, factor));
  }

  @Override
  protected int scratch() {
    return 2 * width;
  }

  @Override
  protected long work() {
    return 8L * width;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] work = graph().scratch(worker);
    float[] y = output().data();
    for (int r = from; r < to; r++) {
      function.apply(width, input(0).data(), r * width, work, width, work);
      for (int h = 0; h < heads; h++) {
        int at = output().at(r, h);
        for (int c = 0; c < dim; c++) {
          y[at + c] = factor * work[width + h * dim + c];
        }
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] work = graph().scratch(worker);
    float[] dy = output().gradient();
    float[] dx = input(0).gradient();
    for (int r = from; r < to; r++) {
      function.derivative(width, input(0).data(), r * width, work, width, work);
      for (int h = 0; h < heads; h++) {
        int at = output().at(r, h);
        for (int c = 0; c < dim; c++) {
          int i = r * width + h * dim + c;
          float d = factor * dy[at + c] * work[width + h * dim + c];
          dx[i] = adds(0) ? dx[i] + d : d;
        }
      }
    }
  }
}
