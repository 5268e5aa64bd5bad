// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.graph.Graph;
import dev.crossover.models.graph.Operation;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.graph.Partial;
import dev.crossover.models.graph.Value;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// log decay of a token = −exp(decay_log_h) · dt, as Mamba-2 and Gated DeltaNet make it of time
/// steps.
///
/// Backward: d dt = −exp(decay_log) g, d decay_log = Σ g · log decay.
final class TimeStepDecay extends Operation {
  private final int heads;
  private final float[] decayLog;
  private final @Nullable Partial gradient;

  private TimeStepDecay(Graph graph, Value y, Value step, Parameter decayLog) {
    super(graph, y, List.of(step));
    this.heads = step.heads();
    this.decayLog = decayLog.value().data();
    gradient = partial(decayLog);
  }

  static Value add(Graph graph, String name, Value step, Parameter decayLog) {
    if (decayLog.value().size() != step.heads()) {
      throw new IllegalArgumentException(
          decayLog.name() + " must hold " + step.heads() + " numbers, but was " + decayLog.value());
    }
    Value y =
        graph.value(
            name, step.rows(), step.heads(), step.width(), List.of(step), List.of(decayLog));
    return graph.add(new TimeStepDecay(graph, y, step, decayLog));
  }

  @Override
  protected boolean keepsInput(int i) {
    return false;
  }

  @Override
  protected boolean keepsOutput() {
    return true;
  }

  @Override
  protected void forward(int worker, int from, int to) {
    for (int h = 0; h < heads; h++) {
      float rate = (float) -Math.exp(decayLog[h]);
      for (int r = from; r < to; r++) {
        int at = output().at(r, h);
        output().data()[at] = rate * input(0).data()[at];
      }
    }
  }

  @Override
  protected void backward(int worker, int from, int to) {
    int sums = gradient == null ? 0 : gradient.start(from);
    float[] g = output().gradient();
    for (int h = 0; h < heads; h++) {
      float rate = (float) -Math.exp(decayLog[h]);
      double sum = 0;
      for (int r = from; r < to; r++) {
        int at = output().at(r, h);
        sum += g[at] * output().data()[at];
        if (wants(0)) {
          float[] dx = input(0).gradient();
          dx[at] = adds(0) ? dx[at] + rate * g[at] : rate * g[at];
        }
      }
      if (gradient != null) {
        gradient.sums()[sums + h] += (float) sum;
      }
    }
  }
}
