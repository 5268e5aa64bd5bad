// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.attention.testing.Recurrence;
import dev.crossover.variants.recurrent.Mamba2Ssd;
import dev.crossover.variants.recurrent.Mamba3;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/// Mamba-2's layer core: time steps, groups, skip and gate.
class Mamba2LayerTest extends AttentionContract {
  private static Mamba2Layer module(int groups, boolean softplus) {
    return new Mamba2Layer(groups, softplus, OptionalInt.of(20));
  }

  @Override
  public Attention attention() {
    return module(2, true);
  }

  @Override
  public List<Attention> instances() {
    return List.of(module(1, true), module(2, true), module(2, false));
  }

  @Override
  public AttentionShape shape(int n) {
    return AttentionShape.of(2, 4, n, 8);
  }

  @Override
  public int[] blockBorders() {
    return new int[] {20};
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("time_step_bias", "output_gate");
  }

  @Override
  public boolean paddedRowsReadTheirValue() {
    return true;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(Claim.EMPTY_ROWS_ZERO, "the skip lets a token's own x through");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        expected((Mamba2Layer) attention, shape, mask, inputs);
  }

  /// The recurrence on dt, dt·A and repeated groups, then skip and gate, in double.
  private static double[] expected(
      Mamba2Layer attention, AttentionShape s, Mask mask, Tensors inputs) {
    int n = s.querySeqLen();
    int sharing = s.numHeads() / attention.groups();
    Tensors heads =
        inputs
            .with("q", Inputs.repeated(inputs.get("q"), 1, sharing))
            .with("k", Inputs.repeated(inputs.get("k"), 1, sharing));
    Recurrence.PerToken step =
        (row, _) -> {
          double raw = inputs.get("time_step").data()[row];
          int head = row / n % s.numHeads();
          double bias =
              inputs.has("time_step_bias") ? inputs.get("time_step_bias").data()[head] : 0;
          return attention.timeStepSoftplus() ? Math.log(1 + Math.exp(raw + bias)) : raw;
        };
    Recurrence core =
        new Recurrence(
            1,
            (row, a) -> step.at(row, a) * inputs.get("decay_rate").data()[row / n % s.numHeads()],
            false,
            step,
            false);
    double[] out = core.run(s, mask, heads).out();
    for (int e = 0; e < out.length; e++) {
      int row = e / s.valueDim();
      out[e] += inputs.get("skip").data()[row / n % s.numHeads()] * inputs.get("v").data()[e];
      if (inputs.has("output_gate")) {
        double z = inputs.get("output_gate").data()[e];
        out[e] *= z / (1 + Math.exp(-z));
      }
    }
    return out;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Mamba2Layer.class);
  }

  @Test
  void itIsALayerWithANameOfItsOwn() {
    Attention layer = LayerCatalogue.parse("layer/mamba2:groups=2");
    assertEquals(new Mamba2Layer(2, true, OptionalInt.empty()), layer);
    assertEquals("layer/mamba2:groups=2", LayerCatalogue.describe(layer));
    assertEquals("layer/mamba2", layer.name());
  }

  @Test
  void groupsThatDoNotDivideTheHeadsAreRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> module(3, true).plan(AttentionShape.of(1, 4, 8, 4), Mask.causal(), 1));
    assertTrue(error.getMessage().contains("groups"), error.getMessage());
  }

  /// λ = 1 (trapezoid so large that σ rounds to it), no angles, no biases.
  @Test
  void oneInputWithoutTurnsAndBiasesIsMamba2() {
    AttentionShape shape = AttentionShape.of(1, 2, 150, 8).withValueDim(6);
    Mamba3 mamba3 = new Mamba3(2, OptionalInt.of(1), OptionalInt.empty());
    Tensors inputs =
        Inputs.of(mamba3, shape, 5, List.of("output_gate"))
            .with("trapezoid", Draws.constant(60, 1, 2, 150))
            .with("angles", Draws.constant(0, 1, 2, 150, 1))
            .with("query_bias", Draws.constant(0, 2, 8))
            .with("key_bias", Draws.constant(0, 2, 8))
            .with("skip", Draws.constant(0.5, 2));
    Tensor rates = Draws.constant(-3, 2);
    Tensor decays = inputs.get("time_step").copy();
    for (int e = 0; e < decays.size(); e++) {
      decays.data()[e] *= -3;
    }
    Mamba2Layer mamba2 = module(2, false);
    Tensors theirs =
        Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"))
            .with("time_step", inputs.get("time_step"))
            .with("decay_rate", rates)
            .with("skip", inputs.get("skip"))
            .with("output_gate", inputs.get("output_gate"));
    Tensor expected = Forward.of(mamba2, Mask.causal(), theirs);
    Tensor out = Forward.of(mamba3, Mask.causal(), inputs.with("log_decay", decays));
    assertEquals(0, Forward.maxDifference(expected, out), 5e-6);
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, Mamba2LayerTest::drawn, reference());
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    Mamba2Layer one = module(1, r.chance(2));
    AttentionShape s = r.shape(one);
    int groups = s.numHeads() % 2 == 0 && r.chance(2) ? 2 : r.of(1, s.numHeads());
    return r.problem(module(groups, one.timeStepSoftplus()), s)
        .masked(Mask.causal())
        .changed(inputs -> r.blurred(inputs, "skip"));
  }

  @Test
  void randomGradientsAgreeWithTheDefinition() {
    RandomGradients.check(40, 3, tolerance(), Mamba2LayerTest::drawn, reference());
  }

  @Test
  void headLevelOfDiscretisedTensorsIsTheCore() {
    AttentionShape shape = AttentionShape.of(1, 2, 70, 8).withValueDim(6);
    Mamba2Layer module = module(2, false);
    Tensors inputs =
        Inputs.of(module, shape, 5)
            .with("skip", Draws.constant(0, 2))
            .with("decay_rate", Draws.uniform(6, -16, -1, 2));
    Tensor values = inputs.get("v").copy();
    Tensor decays = inputs.get("time_step").copy();
    for (int e = 0; e < values.size(); e++) {
      values.data()[e] *= inputs.get("time_step").data()[e / 6];
    }
    for (int row = 0; row < decays.size(); row++) {
      decays.data()[row] *= inputs.get("decay_rate").data()[row / 70];
    }
    Tensors discrete =
        Tensors.qkv(inputs.get("q"), inputs.get("k"), values).with("log_decay", decays);
    Tensor expected = Forward.of(new Mamba2Ssd(), Mask.causal(), discrete);
    Tensor out = Forward.of(module, Mask.causal(), inputs);
    assertEquals(0, Forward.maxDifference(expected, out), 2e-6);
  }

  @Test
  void drawnTimeStepsAreLogUniformAfterTheSoftplus() {
    AttentionShape shape = AttentionShape.of(1, 2, 1000, 4);
    double logs = 0;
    Tensor raw = Inputs.of(module(1, true), shape, 7).get("time_step");
    for (float x : raw.data()) {
      double step = Math.log1p(Math.exp(x));
      assertEquals(0.0505, step, 0.0496, "from 1e-3 to 0.1");
      logs += Math.log10(step) / raw.size();
    }
    assertEquals(-2, logs, 4 * 2 / Math.sqrt(12 * 2000));
  }
}
