// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Rows;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;

/// One row per sequence: the mean of its real tokens, its first token, or its last real one. A
/// sequence without real tokens gives zeros for mean and last.
final class Pooling extends Operation {
  private final Kernels kernels = Kernels.get();
  private final PoolingKind kind;
  private final Padding padding;
  private final int length;
  private final int width;

  private Pooling(Graph graph, Value y, Value x, PoolingKind kind, Padding padding) {
    super(graph, y, List.of(x));
    this.kind = kind;
    this.padding = padding;
    this.length = x.rows().length();
    this.width = x.width();
  }

  static Value add(
      Graph graph, String name, Value x, Rows sequences, PoolingKind kind, Padding padding) {
    Value y = graph.value(name, sequences, 0, x.width(), List.of(x), List.of());
    return graph.add(new Pooling(graph, y, x, kind, padding));
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected long work() {
    return (long) length * width;
  }

  /// The share of a token in the row of its sequence.
  private float share(int sequence, int t, int count) {
    boolean real = padding.isReal(sequence * length + t);
    return switch (kind) {
      case FIRST -> t == 0 ? 1 : 0;
      case LAST -> real && next(sequence, t + 1) == length ? 1 : 0;
      case MEAN -> real ? 1f / count : 0;
    };
  }

  private int next(int sequence, int from) {
    int t = from;
    while (t < length && !padding.isReal(sequence * length + t)) {
      t++;
    }
    return t;
  }

  private int count(int sequence) {
    int count = 0;
    for (int t = 0; t < length; t++) {
      count += padding.isReal(sequence * length + t) ? 1 : 0;
    }
    return count;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] y = output().data();
    for (int b = from; b < to; b++) {
      Arrays.fill(y, b * width, (b + 1) * width, 0);
      int count = count(b);
      for (int t = 0; t < length; t++) {
        int row = b * length + t;
        float share = share(b, t, count);
        if (share != 0) {
          kernels.axpy(width, share, x, row * width, y, b * width);
        }
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] dx = input(0).gradient();
    float[] dy = output().gradient();
    for (int b = from; b < to; b++) {
      int count = count(b);
      for (int t = 0; t < length; t++) {
        int row = b * length + t;
        float share = share(b, t, count);
        if (adds(0)) {
          kernels.axpy(width, share, dy, b * width, dx, row * width);
        } else {
          kernels.scale(width, share, dy, b * width, dx, row * width);
        }
      }
    }
  }
}
