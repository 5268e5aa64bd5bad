// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
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
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class Rwkv7Test extends RecurrentContract {
  @Override
  public Attention attention() {
    return new Rwkv7();
  }

  /// Norm and bonus, which join columns and read padded tokens, are in the random problems.
  @Override
  public List<String> optionalInputs() {
    return List.of("initial_state");
  }

  @Override
  Attention drawn(RandomCases r) {
    return new Rwkv7(r.of(1.0, 0.3), r.of(6.4e-4, 0.1));
  }

  /// A norm has both its tensors; the bonus reads padded tokens, which these problems fill with
  /// NaN.
  private RandomCases.Problem layer(RandomCases r) {
    RandomCases.Problem drawn = problem(r);
    boolean padded = drawn.mask().hasKeyPadding();
    return drawn.changed(inputs -> allowed(drawn.change().apply(inputs), padded));
  }

  private static Tensors allowed(Tensors inputs, boolean padded) {
    boolean norm = inputs.has("norm_weight") && inputs.has("norm_bias");
    Tensors rest = Tensors.NONE;
    for (int t = 0; t < inputs.size(); t++) {
      boolean lone = inputs.name(t).startsWith("norm_") && !norm;
      if (!lone && !(padded && inputs.name(t).equals("bonus"))) {
        rest = rest.with(inputs.name(t), inputs.tensor(t));
      }
    }
    return rest;
  }

  @Override
  void checkRandomOutputs() {
    RandomCases.check(60, 1, 5e-5, this::layer, reference());
  }

  @Override
  void checkRandomGradients() {
    RandomGradients.check(40, 3, 5e-5, this::layer, reference());
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
    Rwkv7 rwkv = (Rwkv7) attention;
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
        double[] y = new double[dv];
        for (int e = 0; e < d * dv; e++) {
          y[e % dv] += rwkv.scale() * inputs.get("q").data()[row * d + e / dv] * state[e];
        }
        complete(y, row, p % s.numHeads(), rwkv.eps(), inputs);
        System.arraycopy(y, 0, out, row * dv, dv);
      }
      System.arraycopy(state, 0, states, p * d * dv, d * dv);
    }
    return new Recurrence.Result(out, states);
  }

  private static void step(double[] state, int row, int d, int dv, Tensors inputs) {
    float[] key = inputs.get("removal_key").data();
    float[] rate = inputs.get("removal_rate").data();
    double[] before = state.clone();
    for (int c = 0; c < dv; c++) {
      double read = 0;
      for (int a = 0; a < d; a++) {
        read += before[a * dv + c] * key[row * d + a];
      }
      for (int a = 0; a < d; a++) {
        int at = row * d + a;
        state[a * dv + c] =
            Math.exp(inputs.get("log_decay").data()[at]) * before[a * dv + c]
                - (double) key[at] * rate[at] * read
                + (double) inputs.get("k").data()[at] * inputs.get("v").data()[row * dv + c];
      }
    }
  }

  private static void complete(double[] y, int row, int head, double eps, Tensors inputs) {
    int dv = y.length;
    if (inputs.has("norm_weight")) {
      double mean = Arrays.stream(y).average().orElseThrow();
      double variance = Arrays.stream(y).map(x -> (x - mean) * (x - mean)).average().orElseThrow();
      for (int c = 0; c < dv; c++) {
        y[c] =
            (y[c] - mean)
                    / Math.sqrt(variance + eps)
                    * inputs.get("norm_weight").data()[head * dv + c]
                + inputs.get("norm_bias").data()[head * dv + c];
      }
    }
    if (inputs.has("bonus")) {
      int d = inputs.get("bonus").extent(1);
      double sum = 0;
      for (int a = 0; a < d; a++) {
        sum +=
            (double) inputs.get("q").data()[row * d + a]
                * inputs.get("k").data()[row * d + a]
                * inputs.get("bonus").data()[head * d + a];
      }
      for (int c = 0; c < dv; c++) {
        y[c] += sum * inputs.get("v").data()[row * dv + c];
      }
    }
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Rwkv7.class);
  }

  @Test
  void nothingRemovedIsGla() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors inputs =
        Inputs.of(attention(), shape, 5).with("removal_rate", Draws.constant(0, 1, 2, 130, 8));
    Tensors gla =
        Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"))
            .with("log_decay", inputs.get("log_decay"));
    requireClose(
        Forward.of(new Gla(java.util.OptionalDouble.of(1)), Mask.causal(), gla),
        Forward.of(attention(), Mask.causal(), inputs),
        "out");
  }

  @Test
  void withoutDecayOneKeyAndOneRateItIsDeltaNet() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors delta =
        new DeltaNet()
            .adapt(
                shape,
                Tensors.qkv(
                    Draws.gaussian(1, 1, 2, 130, 8),
                    Draws.gaussian(2, 1, 2, 130, 8),
                    Draws.gaussian(3, 1, 2, 130, 8)),
                4);
    Tensor rate = Inputs.repeated(delta.get("beta").reshape(new int[] {1, 2, 130, 1}), 3, 8);
    Tensor key = delta.get("k").copy();
    for (int e = 0; e < key.size(); e++) {
      key.data()[e] *= rate.data()[e];
    }
    Tensors inputs =
        Tensors.qkv(delta.get("q"), key, delta.get("v"))
            .with("log_decay", Draws.constant(0, 1, 2, 130, 8))
            .with("removal_key", delta.get("k"))
            .with("removal_rate", rate);
    requireClose(
        Forward.of(
            new DeltaNet(java.util.OptionalDouble.of(1), java.util.OptionalInt.empty()),
            Mask.causal(),
            delta),
        Forward.of(attention(), Mask.causal(), inputs),
        "out");
  }

  /// What is removed is read before decays that would overflow, were they undone.
  @Test
  void strongDecaysStayFinite() {
    AttentionShape shape = AttentionShape.of(1, 1, 130, 8);
    Tensors inputs =
        Inputs.of(attention(), shape, 8).with("log_decay", Draws.uniform(9, -120, 0, 1, 1, 130, 8));
    double[] expected = expected(attention(), shape, Mask.causal(), inputs).out();
    requireClose(expected, Forward.of(attention(), Mask.causal(), inputs), "out");
  }

  @Test
  void normAndBonusHaveTheSameBitsForAnyNumberOfThreadsAndReadPaddedTokens() {
    AttentionShape shape = AttentionShape.of(2, 2, 150, 8);
    Tensors inputs =
        Inputs.of(
            attention(), shape, 9, List.of("norm_weight", "norm_bias", "bonus", "initial_state"));
    Mask mask = Mask.both(Mask.causal(), Mask.lengths(150, 150, 90));
    Tensors one = layerRun(shape, mask, inputs, 1);
    Tensors three = layerRun(shape, mask, inputs, 3);
    for (String name : one.names()) {
      assertArrayEquals(one.get(name).data(), three.get(name).data(), name);
    }
    requireClose(expected(attention(), shape, mask, inputs).out(), one.get("out"), "out");
  }

  private static Tensors layerRun(AttentionShape shape, Mask mask, Tensors inputs, int threads) {
    DifferentiablePlan plan = new Rwkv7().differentiable(shape, mask, threads);
    Tensor out = Tensor.zeros(2, 2, 150, 8);
    plan.forward(inputs, out);
    Tensors gradients = Tensors.NONE;
    for (String name : inputs.names()) {
      gradients = gradients.with("grad_" + name, Tensor.zeros(inputs.get(name).shape()));
    }
    plan.backward(Draws.gaussian(10, 2, 2, 150, 8), gradients);
    return gradients.with("out", out);
  }

  @Test
  void aNormWithoutItsBiasIsRefused() {
    AttentionShape shape = AttentionShape.of(1, 1, 6, 4);
    Tensors inputs = Inputs.of(attention(), shape, 9, List.of("norm_weight"));
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> Forward.of(attention(), Mask.causal(), inputs));
    assertTrue(error.getMessage().contains("norm_bias"), error.getMessage());
  }
}
