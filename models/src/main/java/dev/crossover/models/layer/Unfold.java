// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The neighbours that a dilated causal convolution looks at, `[rows, D · taps]` in the order of
/// its weight: y[t, c · taps + j] = x[t − (taps − 1 − j) · dilation, c], zeros before the start.
/// The convolution is then a map.
final class Unfold extends Operation {
  private final int width;
  private final int taps;
  private final int dilation;

  private Unfold(Graph graph, Value y, Value x, int taps, int dilation) {
    super(graph, y, List.of(x));
    this.width = x.width();
    this.taps = taps;
    this.dilation = dilation;
  }

  static Value add(
      Graph graph, String name, Value x, int taps, int dilation, @Nullable Decoding decoding) {
    Value y = graph.value(name, x.rows(), 0, x.width() * taps, List.of(x), List.of());
    return graph.add(
        decoding == null
            ? new Unfold(graph, y, x, taps, dilation)
            : new Step(graph, y, x, taps, dilation, decoding));
  }

  @Override
  protected Reach reach() {
    return Reach.NEIGHBOURS;
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  private int back(int tap) {
    return (taps - 1 - tap) * dilation;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] y = output().data();
    int n = output().rows().length();
    for (int r = from; r < to; r++) {
      for (int j = 0; j < taps; j++) {
        boolean inside = r % n >= back(j);
        int source = (r - back(j)) * width;
        for (int c = 0; c < width; c++) {
          y[(r * width + c) * taps + j] = inside ? x[source + c] : 0;
        }
      }
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
      for (int j = 0; j < taps; j++) {
        if (r % n + back(j) < n) {
          int source = (r + back(j)) * width;
          for (int c = 0; c < width; c++) {
            dx[at + c] += dy[(source + c) * taps + j];
          }
        }
      }
    }
  }

  /// Decoding: the last rows are the state.
  private static final class Step extends History {
    private final int taps;
    private final int dilation;

    Step(Graph graph, Value y, Value x, int taps, int dilation, Decoding decoding) {
      super(graph, y, x, (taps - 1) * dilation + 1, decoding);
      this.taps = taps;
      this.dilation = dilation;
    }

    @Override
    void row(int sequence, float[] y) {
      for (int j = 0; j < taps; j++) {
        int at = at(sequence, (taps - 1 - j) * dilation);
        for (int c = 0; c < width; c++) {
          y[(sequence * width + c) * taps + j] = at < 0 ? 0 : rows()[at + c];
        }
      }
    }
  }
}
