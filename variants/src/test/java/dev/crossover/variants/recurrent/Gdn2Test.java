// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.attention.testing.Recurrence;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class Gdn2Test extends RecurrentContract {
  @Override
  public Attention attention() {
    return new Gdn2();
  }

  /// Keys far from unit length make the recurrence itself diverge.
  @Override
  public List<String> scoredInputs() {
    return List.of("q");
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(2));
    return new Gdn2(scale, r.of(OptionalInt.empty(), OptionalInt.of(r.from(1, 40))));
  }

  @Override
  void checkRandomGradients() {
    RandomGradients.check(40, 3, tolerance(), this::problem, reference());
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "final_state",
        (attention, shape, mask, inputs) -> expected(attention, shape, mask, inputs).state());
  }

  /// Token by token in double precision.
  @Override
  Recurrence.Result expected(Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    double scale = ((Gdn2) attention).scale().orElse(Attention.defaultScale(s));
    int n = s.querySeqLen();
    int d = s.headDim();
    int dv = s.valueDim();
    double[] out = new double[s.problems() * n * dv];
    double[] states = new double[s.problems() * d * dv];
    for (int p = 0; p < s.problems(); p++) {
      double[] state = new double[d * dv];
      for (int e = 0; e < d * dv && inputs.has("initial_state"); e++) {
        state[e] = inputs.get("initial_state").data()[p * d * dv + e];
      }
      for (int t = 0; t < n; t++) {
        int row = p * n + t;
        if (mask.isRealKey(p / s.numHeads(), t)) {
          step(state, row, d, dv, inputs);
        }
        for (int e = 0; e < d * dv; e++) {
          out[row * dv + e % dv] += scale * inputs.get("q").data()[row * d + e / dv] * state[e];
        }
      }
      System.arraycopy(state, 0, states, p * d * dv, d * dv);
    }
    return new Recurrence.Result(out, states);
  }

  private static void step(double[] state, int row, int d, int dv, Tensors inputs) {
    float[] k = inputs.get("k").data();
    for (int e = 0; e < d * dv; e++) {
      state[e] *= Math.exp(inputs.get("log_decay").data()[row * d + e / dv]);
    }
    for (int c = 0; c < dv; c++) {
      int value = row * dv + c;
      double u = (double) inputs.get("write_gate").data()[value] * inputs.get("v").data()[value];
      for (int a = 0; a < d; a++) {
        double gate = inputs.get("erase_gate").data()[row * d + a];
        u -= state[a * dv + c] * gate * k[row * d + a];
      }
      for (int a = 0; a < d; a++) {
        state[a * dv + c] += k[row * d + a] * u;
      }
    }
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Gdn2.class);
  }

  @Test
  void gatesOfOneNumberAreKda() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8).withValueDim(6);
    Tensors inputs = Inputs.of(new Kda(), shape, 5);
    Tensor beta = inputs.get("beta").reshape(new int[] {1, 2, 130, 1});
    Tensors gated =
        Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"))
            .with("log_decay", inputs.get("log_decay"))
            .with("erase_gate", Inputs.repeated(beta, 3, 8))
            .with("write_gate", Inputs.repeated(beta, 3, 6));
    requireClose(
        Forward.of(new Kda(), Mask.causal(), inputs),
        Forward.of(attention(), Mask.causal(), gated),
        "out");
  }

  @Test
  void nothingErasedAndNoDecayIsLinearAttention() {
    AttentionShape shape = AttentionShape.of(1, 1, 90, 8);
    Tensors inputs =
        Inputs.of(attention(), shape, 6)
            .with("erase_gate", Draws.constant(0, 1, 1, 90, 8))
            .with("write_gate", Draws.constant(1, 1, 1, 90, 8))
            .with("log_decay", Draws.constant(0, 1, 1, 90, 8));
    Tensors plain =
        Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"))
            .with("log_decay", Draws.constant(0, 1, 1, 90, 8));
    requireClose(
        Forward.of(new Gla(), Mask.causal(), plain),
        Forward.of(attention(), Mask.causal(), inputs),
        "out");
  }
}
