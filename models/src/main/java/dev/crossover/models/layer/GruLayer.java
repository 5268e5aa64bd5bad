// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.mechanism.Mechanism;
import java.util.List;

/// GRU as a layer, in PyTorch's form without biases.
///
/// ```
/// [a b e]_t = W_x x_t,  [a' b' e']_t = W_h h_{t−1}
/// r = σ(a + a'),  z = σ(b + b'),  h_t = (1 − z) tanh(e + r e') + z h_{t−1}
/// ```
///
/// | paper | here | shape |
/// |---|---|---|
/// | x | `x` | `[batch, n, D]` |
/// | W_x, W_h | `input_weight`, `hidden_weight` | `[3 D, D]` |
/// | h | output | `[batch, n, D]` |
///
/// n sequential steps of 6 D² operations.
@Mechanism(
    name = "gru",
    title = "GRU",
    paper = "Cho et al., Learning Phrase Representations using RNN Encoder–Decoder, EMNLP 2014",
    arxiv = "1406.1078",
    family = Mechanism.Family.RECURRENT,
    approximates = Mechanism.Approximates.NONE,
    exactness = "none: no attention",
    time = "12 n D²",
    memory = "n D",
    exponent = 1)
public record GruLayer() implements BaselineLayer {
  private static final int GATES = 3;
  private static final int STATE_ROWS = GATES;
  private static final int ELEMENTWISE = 10;

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
    return new GruPlan(request);
  }

  /// `state` holds the mapped hidden state, written anew in every step.
  private static final class GruPlan extends HiddenStatePlan {
    GruPlan(PlanRequest request) {
      super(request, GATES, STATE_ROWS);
    }

    @Override
    void step(int b, int row, float[] before, int at, float[] output) {
      int gate = row * GATES * width;
      int own = b * STATE_ROWS * width;
      mapHidden(before, at, state, own, false);
      kernels.add(2 * width, mapped, gate, state, own, mapped, gate);
      Elementary.sigmoid(2 * width, mapped, gate, mapped, gate);
      int candidate = gate + 2 * width;
      for (int c = 0; c < width; c++) {
        mapped[candidate + c] += mapped[gate + c] * state[own + 2 * width + c];
      }
      Elementary.tanh(width, mapped, candidate, state, own);
      for (int c = 0; c < width; c++) {
        float z = mapped[gate + width + c];
        output[row * width + c] = (1 - z) * state[own + c] + z * before[at + c];
      }
    }
  }
}
