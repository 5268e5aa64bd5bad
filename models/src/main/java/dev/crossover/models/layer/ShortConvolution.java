// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Partial;
import dev.crossover.models.graph.Value;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Causal convolution of every channel with its own few taps: y[t,c] = b_c + Σ_j W[c,j] x[t−w+1+j,
/// c], zeros before the start.
///
/// Backward: dx[s,c] = Σ_j W[c,j] dy[s+w−1−j, c], dW[c,j] = Σ_t dy[t,c] x[t−w+1+j, c].
final class ShortConvolution extends Operation {
  private final int width;
  private final int taps;
  private final float[] weight;
  private final float @Nullable [] bias;
  private final @Nullable Partial gradWeight;
  private final @Nullable Partial gradBias;

  private ShortConvolution(
      Graph graph, Value y, Value x, Parameter weight, @Nullable Parameter bias) {
    super(graph, y, List.of(x));
    this.width = x.width();
    this.taps = weight.value().extent(1);
    this.weight = weight.value().data();
    this.bias = bias == null ? null : bias.value().data();
    gradWeight = partial(weight);
    gradBias = partial(bias);
  }

  static Value add(
      Graph graph,
      String name,
      Value x,
      Parameter weight,
      @Nullable Parameter bias,
      @Nullable Decoding decoding) {
    if (weight.value().rank() != 2 || weight.value().extent(0) != x.width()) {
      throw new IllegalArgumentException(
          weight.name() + " must have shape [" + x.width() + ", taps], but was " + weight.value());
    }
    List<@Nullable Parameter> used = Arrays.asList(weight, bias);
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), used);
    return graph.add(
        decoding == null
            ? new ShortConvolution(graph, y, x, weight, bias)
            : new Step(graph, y, x, weight, bias, decoding));
  }

  @Override
  protected Reach reach() {
    return Reach.NEIGHBOURS;
  }

  @Override
  protected boolean keepsInput(int i) {
    return gradWeight != null;
  }

  @Override
  protected int scratch() {
    return taps * width;
  }

  @Override
  protected long work() {
    return (long) taps * width;
  }

  /// The taps of all channels beside each other: W transposed, so that a loop runs over channels.
  private float[] transposed(int worker) {
    float[] work = graph().scratch(worker);
    for (int c = 0; c < width; c++) {
      for (int j = 0; j < taps; j++) {
        work[j * width + c] = weight[c * taps + j];
      }
    }
    return work;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] y = output().data();
    float[] w = transposed(worker);
    int n = output().rows().length();
    for (int r = from; r < to; r++) {
      int at = r * width;
      if (bias == null) {
        Arrays.fill(y, at, at + width, 0);
      } else {
        System.arraycopy(bias, 0, y, at, width);
      }
      for (int j = Math.max(0, taps - 1 - r % n); j < taps; j++) {
        addProducts(width, w, j * width, x, (r - taps + 1 + j) * width, y, at);
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] dy = output().gradient();
    float[] w = transposed(worker);
    int n = output().rows().length();
    for (int r = from; r < to && wants(0); r++) {
      float[] dx = input(0).gradient();
      int at = r * width;
      if (!adds(0)) {
        Arrays.fill(dx, at, at + width, 0);
      }
      for (int j = Math.max(0, taps - n + r % n); j < taps; j++) {
        addProducts(width, w, j * width, dy, (r + taps - 1 - j) * width, dx, at);
      }
    }
    if (gradBias != null) {
      int at = gradBias.start(from);
      for (int r = from; r < to; r++) {
        for (int c = 0; c < width; c++) {
          gradBias.sums()[at + c] += dy[r * width + c];
        }
      }
    }
    if (gradWeight != null) {
      weightGradient(w, x, dy, gradWeight, from, to);
    }
  }

  private void weightGradient(
      float[] work, float[] x, float[] dy, Partial gradient, int from, int to) {
    int at = gradient.start(from);
    Arrays.fill(work, 0, taps * width, 0);
    int n = output().rows().length();
    for (int r = from; r < to; r++) {
      for (int j = Math.max(0, taps - 1 - r % n); j < taps; j++) {
        addProducts(width, dy, r * width, x, (r - taps + 1 + j) * width, work, j * width);
      }
    }
    float[] sums = gradient.sums();
    for (int c = 0; c < width; c++) {
      for (int j = 0; j < taps; j++) {
        sums[at + c * taps + j] += work[j * width + c];
      }
    }
  }

  /// `z += x y`.
  static void addProducts(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo) {
    for (int i = 0; i < n; i++) {
      z[zo + i] += x[xo + i] * y[yo + i];
    }
  }

  /// Decoding: the last rows are the state.
  private static final class Step extends History {
    private final int taps;
    private final float[] weight;
    private final float @Nullable [] bias;

    Step(
        Graph graph,
        Value y,
        Value x,
        Parameter weight,
        @Nullable Parameter bias,
        Decoding decoding) {
      super(graph, y, x, weight.value().extent(1), decoding);
      this.taps = weight.value().extent(1);
      this.weight = weight.value().data();
      this.bias = bias == null ? null : bias.value().data();
    }

    @Override
    void row(int sequence, float[] y) {
      for (int c = 0; c < width; c++) {
        float sum = bias == null ? 0 : bias[c];
        for (int j = 0; j < taps; j++) {
          int at = at(sequence, taps - 1 - j);
          sum += at < 0 ? 0 : weight[c * taps + j] * rows()[at + c];
        }
        y[sequence * width + c] = sum;
      }
    }
  }
}
