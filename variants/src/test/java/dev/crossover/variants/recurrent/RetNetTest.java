// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.Recurrence;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class RetNetTest extends RecurrentContract {
  static final RetNet ROTARY =
      new RetNet(
          OptionalDouble.empty(), RetNet.Rotary.INTERLEAVED, RetNet.Normalisation.NONE, 1e-6);

  @Override
  public Attention attention() {
    return new RetNet();
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(2));
    return new RetNet(scale, RetNet.Rotary.NONE, RetNet.Normalisation.NONE, 1e-6);
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    double scale = ((RetNet) attention).scale().orElse(Attention.defaultScale(s));
    return new Recurrence(
        scale,
        (row, _) -> Math.log(inputs.get("decay").data()[row / s.querySeqLen() % s.numHeads()]),
        true,
        (_, _) -> 1,
        false);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(RetNet.class);
  }

  @Test
  void parallelFormEqualsTheChunkwiseOne() {
    AttentionShape shape = AttentionShape.of(1, 3, 200, 8).withValueDim(5);
    Tensors inputs = Inputs.withParameters(attention(), shape, Inputs.of(attention(), shape, 5));
    for (Mask mask : new Mask[] {Mask.causal(), Mask.both(Mask.causal(), Inputs.holes(shape, 2))}) {
      double[] expected =
          Oracle.summed(
              shape,
              mask,
              inputs.get("v"),
              (b, h, i, j) ->
                  Math.pow(1 - Math.pow(2, -5 - h), i - j)
                      * Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                      / Math.sqrt(8));
      requireClose(expected, Forward.of(attention(), mask, inputs), "out");
    }
  }

  @Test
  void decayOneIsLinearAttentionAndDecayZeroSeesItselfOnly() {
    AttentionShape shape = AttentionShape.of(1, 2, 90, 6);
    Tensors inputs = Inputs.of(attention(), shape, 6);
    for (double gamma : new double[] {0, 1}) {
      double[] expected =
          Oracle.summed(
              shape,
              Mask.causal(),
              inputs.get("v"),
              (b, h, i, j) ->
                  (gamma == 1 || i == j ? 1 : 0)
                      * Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                      / Math.sqrt(6));
      Tensors with = inputs.with("decay", Draws.constant(gamma, 2));
      requireClose(expected, Forward.of(attention(), Mask.causal(), with), "gamma " + gamma);
    }
  }

  /// Rotating by the position makes scores depend on distances alone: a sequence that starts later,
  /// after padding, has the same outputs.
  @Test
  void rotationDependsOnDistancesAlone() {
    AttentionShape shape = AttentionShape.of(1, 2, 70, 8);
    Tensors inputs = Inputs.of(ROTARY, shape, 7);
    Tensor short1 = Forward.of(ROTARY, Mask.causal(), inputs);
    AttentionShape longer = shape.withSeqLens(75, 75);
    Tensors shifted = Inputs.of(ROTARY, longer, 8);
    boolean[] real = new boolean[75];
    java.util.Arrays.fill(real, 5, 75, true);
    for (String name : new String[] {"q", "k", "v"}) {
      Tensor tensor = shifted.get(name).copy();
      for (int h = 0; h < 2; h++) {
        System.arraycopy(inputs.get(name).data(), h * 560, tensor.data(), (h * 75 + 5) * 8, 560);
      }
      shifted = shifted.with(name, tensor);
    }
    Tensor out = Forward.of(ROTARY, Mask.both(Mask.causal(), Mask.keys(75, real)), shifted);
    requireClose(short1, rows(out, 5, 75), "shifted by 5");
    assertTrue(
        Forward.maxDifference(short1, Forward.of(new RetNet(), Mask.causal(), inputs)) > 0.1,
        "rotation must matter");
  }

  @Test
  void rotatedStateContinuesFromPositionZero() {
    AttentionShape shape = AttentionShape.of(1, 2, 150, 8).withValueDim(40);
    Tensors inputs = Inputs.of(ROTARY, shape, 9);
    Tensors whole = run(ROTARY, shape, inputs);
    Tensors before = run(ROTARY, shape.withSeqLens(83, 83), part(shape, inputs, 0, 83));
    Tensors rest = part(shape, inputs, 83, 150).with("initial_state", before.get("final_state"));
    Tensors after = run(ROTARY, shape.withSeqLens(67, 67), rest);
    requireClose(rows(whole.get("out"), 83, 150), after.get("out"), "out");
    requireClose(whole.get("final_state"), after.get("final_state"), "state");
  }

  @Test
  void defaultDecaysAreThePapers() {
    float[] decay = RetNet.decays(3).data();
    assertEquals(31 / 32f, decay[0]);
    assertEquals(63 / 64f, decay[1]);
    assertEquals(127 / 128f, decay[2]);
  }

  @Test
  void rotationOfAnOddWidthIsRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> ROTARY.plan(AttentionShape.of(1, 1, 4, 7), Mask.causal(), 1));
    assertTrue(error.getMessage().contains("headDim"), error.getMessage());
  }
}
