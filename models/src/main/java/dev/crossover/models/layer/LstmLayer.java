// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import java.util.Arrays;
import java.util.List;

/// LSTM as a layer, in PyTorch's form without biases.
///
/// ```
/// [i f g o]_t = W_x x_t + W_h h_{t−1}
/// c_t = σ(f) c_{t−1} + σ(i) tanh(g),  h_t = σ(o) tanh(c_t)
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | x | `x` | `[batch, n, D]` |
/// | W_x, W_h | `input_weight`, `hidden_weight` | `[4 D, D]` |
/// | h | output | `[batch, n, D]` |
///
/// n sequential steps of 8 D² operations, where attention has one.
@Mechanism(
    name = "lstm",
    title = "LSTM",
    paper = "Hochreiter, Schmidhuber, Long Short-Term Memory, Neural Computation 1997",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no attention",
    time = "16 n D²",
    memory = "n D",
    exponent = 1)
public record LstmLayer() implements BaselineLayer {
  private static final int GATES = 4;
  private static final int STATE_ROWS = 2;
  private static final int ELEMENTWISE = 12;

  @Override
  public List<TensorSpec> inputs(AttentionShape s) {
    return HiddenStatePlan.inputs(s, GATES);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    return HiddenStatePlan.cost(s, threads, GATES, STATE_ROWS, ELEMENTWISE);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new LstmPlan(request);
  }

  /// `state` holds the cell, then its tanh.
  private static final class LstmPlan extends HiddenStatePlan {
    LstmPlan(PlanRequest request) {
      super(request, GATES, STATE_ROWS);
    }

    @Override
    void start(int b) {
      int cell = b * STATE_ROWS * width;
      Arrays.fill(state, cell, cell + width, 0);
    }

    @Override
    void step(int b, int row, float[] before, int at, float[] output) {
      int gate = row * GATES * width;
      mapHidden(before, at, mapped, gate, true);
      int cell = b * STATE_ROWS * width;
      int tanh = cell + width;
      Elementary.tanh(width, mapped, gate + 2 * width, state, tanh);
      Elementary.sigmoid(2 * width, mapped, gate, mapped, gate);
      Elementary.sigmoid(width, mapped, gate + 3 * width, mapped, gate + 3 * width);
      for (int c = 0; c < width; c++) {
        state[cell + c] =
            mapped[gate + width + c] * state[cell + c] + mapped[gate + c] * state[tanh + c];
      }
      Elementary.tanh(width, state, cell, state, tanh);
      kernels.multiplyElements(width, mapped, gate + 3 * width, state, tanh, output, row * width);
    }
  }
}
