// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class PowerTest extends AttentionContract {
  private static final OptionalInt ALWAYS_STATE = OptionalInt.of(0);
  private static final OptionalInt NEVER_STATE = OptionalInt.of(Integer.MAX_VALUE);

  private static Power power(int degree, double scoreEps, double eps, OptionalInt switchOver) {
    return new Power(degree, scoreEps, eps, OptionalDouble.empty(), switchOver);
  }

  @Override
  public Attention attention() {
    return power(2, 0, 0, ALWAYS_STATE);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        power(2, 0, 0, NEVER_STATE),
        power(4, 1e-3, 1e-2, OptionalInt.empty()),
        new Power(4, 0, 0, OptionalDouble.of(0.2), NEVER_STATE));
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("log_decay");
  }

  @Override
  public List<String> readAtPadding() {
    return List.of("log_decay");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> expected((Power) attention, shape, mask, inputs);
  }

  /// By logarithms, the row's largest weight taken out.
  private static double[] expected(Power power, AttentionShape s, Mask mask, Tensors inputs) {
    int n = s.keySeqLen();
    double scale = power.scale().orElse(1 / Math.sqrt(s.headDim()));
    double[] sums = new double[s.batchSize() * s.numKeyValueHeads() * n];
    for (int row = 0; row < sums.length && inputs.has("log_decay"); row++) {
      sums[row] = inputs.get("log_decay").data()[row] + (row % n == 0 ? 0 : sums[row - 1]);
    }
    Oracle.Pair logarithm =
        (b, h, i, j) -> {
          int head = (b * s.numHeads() + h) / s.groupSize() * n;
          double score = Oracle.dot(s, inputs.get("q"), inputs.get("k"), b, h, i, j);
          return power.degree() * Math.log(Math.abs(scale * score) + power.scoreEps())
              + sums[head + i]
              - sums[head + j];
        };
    double[] out = Oracle.softmax(s, mask, inputs.get("v"), logarithm);
    for (int row = 0; row < s.problems() * n && power.eps() > 0; row++) {
      int b = row / n / s.numHeads();
      int h = row / n % s.numHeads();
      double most = Double.NEGATIVE_INFINITY;
      double total = 0;
      for (int pass = 0; pass < 2; pass++) {
        for (int j = 0; j < n; j++) {
          if (Oracle.sees(s, mask, b, row % n, j)) {
            double l = logarithm.at(b, h, row % n, j);
            most = pass == 0 ? Math.max(most, l) : most;
            total += pass == 0 ? 0 : Math.exp(l - most);
          }
        }
      }
      for (int c = 0; c < s.valueDim(); c++) {
        out[row * s.valueDim() + c] *= total == 0 ? 0 : total / (total + power.eps());
      }
    }
    return out;
  }

  private static Power drawn(RandomCases r) {
    boolean guarded = r.chance(3);
    return new Power(
        r.of(2, 2, 4),
        guarded ? r.of(0.0, 1e-7, 0.1) : 0,
        guarded ? r.of(0.0, 1e-6, 0.3) : 0,
        r.of(OptionalDouble.empty(), OptionalDouble.of(0.7)),
        r.of(OptionalInt.empty(), ALWAYS_STATE, NEVER_STATE));
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, r -> r.problem(drawn(r)), reference());
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(40, 2, 5e-5, r -> r.problem(drawn(r)), reference());
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Power.class);
  }

  @Test
  void stateOfMonomialsEqualsTheQuadraticForm() {
    for (int degree : new int[] {2, 4}) {
      AttentionShape shape = new AttentionShape(2, 4, 2, 150, 150, 5, 5, 7);
      Power state = power(degree, 0, 0, ALWAYS_STATE);
      Tensors inputs = Inputs.of(state, shape, 5, List.of("log_decay"));
      Tensor quadratic = Forward.of(power(degree, 0, 0, NEVER_STATE), Mask.causal(), inputs);
      assertEquals(
          0, Forward.maxDifference(quadratic, Forward.of(state, Mask.causal(), inputs)), 2e-5);
    }
  }

  /// With one key the sum is its weight, and eps a share of it.
  @Test
  void codeGuardsShrinkOutputs() {
    AttentionShape shape = AttentionShape.of(1, 1, 1, 4);
    Tensors inputs = Inputs.of(attention(), shape, 6);
    Tensor plain = Forward.of(power(2, 0, 0, OptionalInt.empty()), Mask.causal(), inputs);
    Tensor guarded = Forward.of(power(2, 1e-7, 0.25, OptionalInt.empty()), Mask.causal(), inputs);
    for (int c = 0; c < 4; c++) {
      assertEquals(inputs.get("v").data()[c], plain.data()[c], 1e-6);
      assertEquals(plain.data()[c] / 1.25, guarded.data()[c], 1e-6);
    }
  }

  @Test
  void signOfTheQueryIsLost() {
    AttentionShape shape = AttentionShape.of(1, 2, 40, 6);
    Tensors inputs = Inputs.of(attention(), shape, 7);
    Tensor negated = inputs.get("q").copy();
    for (int e = 0; e < negated.size(); e++) {
      negated.data()[e] = -negated.data()[e];
    }
    for (Attention each : instances()) {
      assertEquals(
          0,
          Forward.maxDifference(
              Forward.of(each, Mask.causal(), inputs),
              Forward.of(each, Mask.causal(), inputs.with("q", negated))));
    }
  }

  @Test
  void equalProductsGiveTheRunningMean() {
    Tensor q = Draws.constant(1, 1, 1, 90, 3);
    Tensor v = Draws.gaussian(3, 1, 1, 90, 3);
    for (Attention each : List.of(attention(), power(4, 0, 0, NEVER_STATE))) {
      Tensor out = Forward.of(each, Mask.causal(), Tensors.qkv(q, q, v));
      double sum = 0;
      for (int i = 0; i < 90; i++) {
        sum += v.data()[i * 3];
        assertEquals(sum / (i + 1), out.data()[i * 3], 2e-6);
      }
    }
  }

  /// exp(c) underflows many times over; weights are relative to the last key a row sees.
  @Test
  void strongDecaysStayRight() {
    AttentionShape shape = AttentionShape.of(1, 2, 150, 4);
    for (Attention each : instances()) {
      Tensors inputs =
          Inputs.of(each, shape, 8).with("log_decay", Draws.uniform(9, -30, 0, 1, 2, 150));
      double[] expected = expected((Power) each, shape, Mask.causal(), inputs);
      assertTrue(
          Forward.maxDifference(expected, Forward.of(each, Mask.causal(), inputs)) < 2e-5,
          each.toString());
    }
  }

  @Test
  void sessionsKeepKeysUpToTheSwitchOverAndTheStateBeyond() {
    AttentionShape shape = AttentionShape.of(1, 2, 100, 4);
    DecodeSession cached = power(2, 0, 0, NEVER_STATE).decode(shape);
    DecodeSession state = attention().decode(shape);
    Tensors prefix = Inputs.of(attention(), shape.withSeqLens(50, 50), 1);
    long empty = state.stateBytes();
    cached.prefill(prefix);
    state.prefill(prefix);
    assertEquals(2 * 50 * (2 * 4 * 4 + 8), cached.stateBytes());
    assertEquals(empty, state.stateBytes());
  }

  @Test
  void oddDegreesAndNegativeGuardsAreRefusedByName() {
    for (String spec : List.of("degree", "score_eps", "eps", "switch_over_seq_len")) {
      var error =
          assertThrows(
              IllegalArgumentException.class,
              () ->
                  power(
                      spec.equals("degree") ? 3 : 2,
                      spec.equals("score_eps") ? -1 : 0,
                      spec.equals("eps") ? Double.NaN : 0,
                      spec.equals("switch_over_seq_len") ? OptionalInt.of(-1) : ALWAYS_STATE));
      assertTrue(error.getMessage().startsWith(spec + " must be"), error.getMessage());
    }
  }
}
