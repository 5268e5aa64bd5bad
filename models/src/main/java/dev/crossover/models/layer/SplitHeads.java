// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Channel c of a row goes to head ⌊c/d⌋; there the row may be divided by its length, at least
/// 1e-12, and turned by its position.
///
/// Backward: turn back; of y = x/‖x‖, dx = (g − y (y·g))/‖x‖; where the length was held, dx = g /
/// 1e-12.
final class SplitHeads extends Operation {
  private static final double LEAST_LENGTH = 1e-12;

  private final Kernels kernels = Kernels.get();
  private final int heads;
  private final int dim;
  private final boolean normalised;
  private final @Nullable Rotary rotary;
  private final @Nullable Decoding decoding;
  private final float[] factors;

  private SplitHeads(
      Graph graph,
      Value y,
      Value x,
      boolean normalised,
      @Nullable Rotary rotary,
      @Nullable Decoding decoding) {
    super(graph, y, List.of(x));
    this.decoding = decoding;
    this.heads = y.heads();
    this.dim = y.dim();
    this.normalised = normalised;
    this.rotary = rotary;
    factors = graph.layout().floats(normalised ? (long) y.rows().capacity() * heads : 0);
  }

  static Value add(
      Graph graph,
      String name,
      Value x,
      int heads,
      boolean normalised,
      @Nullable Rotary rotary,
      @Nullable Decoding decoding) {
    if (x.width() % heads != 0) {
      throw new IllegalArgumentException(
          name + " must have a multiple of " + heads + " channels, but was " + x.width());
    }
    Value y = graph.value(name, x.rows(), heads, x.width(), List.of(x), List.of());
    return graph.add(new SplitHeads(graph, y, x, normalised, rotary, decoding));
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected boolean keepsOutput() {
    return normalised;
  }

  @Override
  protected int scratch() {
    return 2 * dim;
  }

  @Override
  protected long work() {
    return 2L * output().width();
  }

  @Override
  protected void forward(int worker, int from, int to) {
    float[] x = input(0).data();
    float[] y = output().data();
    int n = output().rows().length();
    for (int r = from; r < to; r++) {
      for (int h = 0; h < heads; h++) {
        int at = output().at(r, h);
        int source = (r * heads + h) * dim;
        if (normalised) {
          double square = kernels.dot(dim, x, source, x, source);
          float factor = (float) (1 / Math.max(LEAST_LENGTH, Math.sqrt(square)));
          factors[r * heads + h] = factor;
          kernels.scale(dim, factor, x, source, y, at);
        } else {
          System.arraycopy(x, source, y, at, dim);
        }
        if (rotary != null) {
          rotary.turn(y, at, decoding == null ? r % n : decoding.position(), false);
        }
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    float[] dy = output().gradient();
    float[] dx = input(0).gradient();
    float[] work = graph().scratch(worker);
    int n = output().rows().length();
    boolean plain = !normalised && rotary == null;
    for (int r = from; r < to; r++) {
      for (int h = 0; h < heads; h++) {
        int at = output().at(r, h);
        int target = (r * heads + h) * dim;
        if (plain) {
          write(dy, at, dx, target);
          continue;
        }
        System.arraycopy(dy, at, work, 0, dim);
        if (normalised) {
          shorten(work, at, factors[r * heads + h]);
        }
        if (rotary != null) {
          rotary.turn(work, 0, r % n, true);
        }
        write(work, 0, dx, target);
      }
    }
  }

  /// Through the division by the length, in the turned frame, where lengths and angles are the
  /// same.
  private void shorten(float[] gradient, int at, float factor) {
    float[] y = output().data();
    boolean held = factor >= (float) (1 / LEAST_LENGTH);
    float along = held ? 0 : kernels.dot(dim, y, at, gradient, 0);
    for (int c = 0; c < dim; c++) {
      gradient[c] = factor * (gradient[c] - along * y[at + c]);
    }
  }

  private void write(float[] gradient, int at, float[] dx, int target) {
    if (adds(0)) {
      kernels.add(dim, dx, target, gradient, at, dx, target);
    } else {
      System.arraycopy(gradient, at, dx, target, dim);
    }
  }
}
