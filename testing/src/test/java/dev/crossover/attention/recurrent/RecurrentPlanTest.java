// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.recurrent.UpdateRule.Decay;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Recurrence;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// The engine under every rule: chunkwise, recurrent and naive form are one function.
class RecurrentPlanTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new AnyRule(Decay.CONSTANT, false, false, 5, 0.5);
  }

  @Override
  public List<Attention> instances() {
    return new ArrayList<>(rules(5, 0.5));
  }

  /// Erasing with keys far from unit length diverges by itself.
  @Override
  public List<String> scoredInputs() {
    return List.of("q");
  }

  @Override
  public int[] blockBorders() {
    return new int[] {5, 16};
  }

  @Override
  public List<String> optionalInputs() {
    return List.of();
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        ((AnyRule) attention).oracle(shape, inputs).run(shape, mask, inputs).out();
  }

  private static List<AnyRule> rules(int chunk, double strongest) {
    List<AnyRule> rules = new ArrayList<>();
    for (Decay decay : Decay.values()) {
      rules.add(new AnyRule(decay, false, false, chunk, strongest));
      rules.add(new AnyRule(decay, false, true, chunk, strongest));
      rules.add(new AnyRule(decay, true, true, chunk, strongest));
    }
    return rules;
  }

  /// Gates to exp(−60) per step cross many anchors; those to exp(−0.05) none.
  @Test
  void everyChunkLengthEqualsTheRecurrence() {
    AttentionShape shape = AttentionShape.of(1, 2, 37, 6).withValueDim(5);
    for (double strongest : new double[] {0.05, 3, 60}) {
      for (int chunk = 1; chunk <= 38; chunk++) {
        for (AnyRule rule : rules(chunk, strongest)) {
          Tensors inputs = Inputs.of(rule, shape, 7, List.of("initial_state"));
          inputs = Inputs.withParameters(rule, shape, inputs);
          requireOracle(rule, shape, Mask.causal(), inputs);
        }
      }
    }
  }

  @Test
  void longChunksWithPaddingEqualTheRecurrence() {
    AttentionShape shape = AttentionShape.of(2, 1, 150, 20).withValueDim(70);
    for (double strongest : new double[] {0.1, 20}) {
      for (AnyRule rule : rules(64, strongest)) {
        Tensors inputs = Inputs.of(rule, shape, 8, List.of("initial_state"));
        inputs = Inputs.withParameters(rule, shape, inputs);
        requireOracle(rule, shape, Mask.both(Mask.causal(), Inputs.holes(shape, 3)), inputs);
      }
    }
  }

  @Test
  void gatesOfMinusInfinityForgetThePast() {
    AttentionShape shape = AttentionShape.of(1, 1, 20, 4);
    for (AnyRule rule : rules(8, 0.1)) {
      if (rule.decay() == Decay.TOKEN || rule.decay() == Decay.CHANNEL) {
        Tensors inputs = Inputs.of(rule, shape, 9);
        Tensor g = inputs.get("g").copy();
        int width = g.size() / 20;
        for (int t = 5; t < 20; t += 6) {
          java.util.Arrays.fill(g.data(), t * width, (t + 1) * width, Float.NEGATIVE_INFINITY);
        }
        requireOracle(rule, shape, Mask.causal(), inputs.with("g", g));
      }
    }
  }

  @Test
  void valueColumnsAreDividedWithoutChangingABit() {
    AttentionShape few = AttentionShape.of(1, 1, 70, 8).withValueDim(100);
    AttentionShape many = AttentionShape.of(8, 1, 70, 8).withValueDim(100);
    for (AnyRule rule : rules(16, 1)) {
      Tensors inputs = Inputs.withParameters(rule, few, Inputs.of(rule, few, 10));
      Tensors copies = Tensors.NONE;
      for (int t = 0; t < inputs.size(); t++) {
        Tensor tensor = inputs.tensor(t);
        boolean shared = inputs.name(t).equals("g") && rule.decay() == Decay.CONSTANT;
        copies = copies.with(inputs.name(t), shared ? tensor : Inputs.repeated(tensor, 0, 8));
      }
      assertArrayEquals(
          run(rule, few, Mask.causal(), 2, inputs).get("out").data(),
          java.util.Arrays.copyOf(
              run(rule, many, Mask.causal(), 1, copies).get("out").data(), 7000));
    }
  }

  @Test
  void decodingStartsFromTheInitialState() {
    AttentionShape shape = AttentionShape.of(1, 2, 6, 4);
    for (AnyRule rule : rules(4, 1)) {
      Tensors inputs = Inputs.of(rule, shape, 11, List.of("initial_state"));
      double[] expected =
          rule.oracle(shape, Inputs.withParameters(rule, shape, inputs))
              .run(shape, Mask.causal(), inputs)
              .out();
      DecodeSession session = rule.decode(shape, 2);
      Tensor out = Tensor.zeros(1, 2, 1, 4);
      AttentionShape one = shape.withSeqLens(1, 1);
      Tensors first = Tensors.NONE;
      for (var spec : rule.inputs(one)) {
        if (inputs.has(spec.name())) {
          first =
              first.with(
                  spec.name(), Inputs.leading(inputs.get(spec.name()), spec.shape().toArray()));
        }
      }
      session.step(first, out);
      for (int h = 0; h < 2; h++) {
        for (int c = 0; c < 4; c++) {
          assertEquals(expected[h * 24 + c], out.data()[h * 4 + c], 2e-5);
        }
      }
      assertEquals(2 * 4 * 4 * 4, session.stateBytes());
    }
  }

  @Test
  void otherCausalOffsetsAreRefused() {
    AttentionShape shape = AttentionShape.of(1, 1, 6, 4);
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> attention().plan(shape, Mask.causal(1), 1));
    assertTrue(error.getMessage().contains("offset"), error.getMessage());
  }

  private static void requireOracle(AnyRule rule, AttentionShape shape, Mask mask, Tensors inputs) {
    Recurrence.Result expected = rule.oracle(shape, inputs).run(shape, mask, inputs);
    Tensors actual = run(rule, shape, mask, 1, inputs);
    requireClose(rule + " out", expected.out(), actual.get("out"));
    requireClose(rule + " final_state", expected.state(), actual.get("final_state"));
  }

  /// Sums of up to 150 terms of size 1, rounded at 2⁻²⁴ each, and exponents rounded at 16 · 2⁻²⁴.
  private static void requireClose(String what, double[] expected, Tensor actual) {
    for (int e = 0; e < expected.length; e++) {
      double allowed = 2e-5 * (1 + Math.abs(expected[e]));
      if (!(Math.abs(expected[e] - actual.data()[e]) <= allowed)) {
        throw new AssertionError(
            what + "[" + e + "] must be " + expected[e] + ", but was " + actual.data()[e]);
      }
    }
  }

  private static Tensors run(
      Attention attention, AttentionShape shape, Mask mask, int threads, Tensors inputs) {
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    Tensor state = Tensor.zeros(attention.results(shape).getFirst().shape().toArray());
    attention
        .plan(shape, mask, threads)
        .forward(inputs, out, Tensors.NONE.with("final_state", state));
    return Tensors.NONE.with("out", out).with("final_state", state);
  }
}
