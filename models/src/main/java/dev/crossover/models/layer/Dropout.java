// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.random.Draws;
import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// y = x · keep / (1 − p): keep is drawn anew for every element from (seed, step, name, element),
/// so that it does not depend on threads and needs no memory; the backward pass draws it again.
final class Dropout extends Operation {
  private static final int BITS = 24;

  private final long seed;
  private final int threshold;
  private final float factor;
  private final DropoutStep step;
  private final byte @Nullable [] given;

  private Dropout(
      Graph graph,
      Value y,
      Value x,
      double rate,
      long seed,
      DropoutStep step,
      byte @Nullable [] given) {
    super(graph, y, List.of(x));
    this.seed = Draws.seedFor(seed, y.name());
    this.threshold = (int) Math.round(rate * (1 << BITS));
    this.factor = (float) (1 / (1 - rate));
    this.step = step;
    this.given = given;
  }

  /// Adds dropout, or nothing where it is off.
  static Value add(Graph graph, String name, Value x, LayerOptions options, DropoutStep step) {
    if (!options.training() || options.dropout() == 0) {
      return x;
    }
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of());
    return graph.add(
        new Dropout(graph, y, x, options.dropout(), options.dropoutSeed(), step, null));
  }

  /// Adds dropout with the draws given, one byte per element: 1 keeps.
  static Value given(Graph graph, String name, Value x, double rate, byte[] keep) {
    Value y = graph.value(name, x.rows(), 0, x.width(), List.of(x), List.of());
    return graph.add(new Dropout(graph, y, x, rate, 0, new DropoutStep(), keep));
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected long work() {
    return 4L * output().width();
  }

  @Override
  protected void forward(int worker, int from, int to) {
    mask(from, to, input(0).data(), output().data(), false);
  }

  @Override
  protected void backward(int worker, int from, int to) {
    mask(from, to, output().gradient(), input(0).gradient(), adds(0));
  }

  private void mask(int from, int to, float[] x, float[] y, boolean add) {
    int width = output().width();
    long key = seed + step.number() * 0x9E3779B97F4A7C15L;
    byte[] keep = given;
    for (int i = from * width; i < to * width; i++) {
      boolean kept =
          keep == null ? Draws.bitsAt(key, i) >>> (Integer.SIZE - BITS) >= threshold : keep[i] != 0;
      float value = kept ? x[i] * factor : 0;
      y[i] = add ? y[i] + value : value;
    }
  }
}
