// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LunaTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Luna(4);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), withActivation(Activation.ELU_PLUS_ONE));
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        LunaReference.out((Luna) attention, shape, mask, inputs);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Luna.class);
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(
        60,
        23,
        LunaTest::drawn,
        (luna, shape, mask, inputs) -> LunaReference.out((Luna) luna, shape, mask, inputs));
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(
        40,
        24,
        RandomCases.TOLERANCE,
        LunaTest::drawn,
        (luna, shape, mask, inputs) -> LunaReference.out((Luna) luna, shape, mask, inputs));
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    return r.problem(new Luna(r.from(1, 20), r.of(Activation.values())));
  }

  @Test
  void firstTokenGivesItsValueTimesItsPackWeight() {
    AttentionShape shape = AttentionShape.of(1, 1, 1, 4);
    Tensors inputs = Inputs.of(attention(), shape, 1).with("pack", Tensor.zeros(1, 1, 4, 4));
    Tensor out = Forward.of(attention(), Mask.causal(), inputs);
    assertEquals(0, Forward.maxDifference(inputs.get("v"), out), 1e-6, "ω(0) = 1");
  }

  @Test
  void activationsDifferInTheCausalForm() {
    AttentionShape shape = AttentionShape.of(1, 1, 20, 4);
    Tensors inputs = Inputs.of(attention(), shape, 2);
    Tensor code = Forward.of(attention(), Mask.causal(), inputs);
    Tensor paper = Forward.of(withActivation(Activation.ELU_PLUS_ONE), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(code, paper) > 1e-2);
  }

  @Test
  void hugePackScoresPassTheActivationUnchanged() {
    AttentionShape shape = AttentionShape.of(1, 1, 1, 4);
    Tensors inputs = Inputs.of(new Luna(1), shape, 3);
    Tensor keys = Tensor.of(new float[] {1e3f, 0, 0, 0}, 1, 1, 1, 4);
    for (float sign : new float[] {1, -1}) {
      Tensor pack = Tensor.of(new float[] {sign, 0, 0, 0}, 1, 1, 1, 4);
      Tensor out =
          Forward.of(new Luna(1), Mask.causal(), inputs.with("pack_keys", keys).with("pack", pack));
      for (int e = 0; e < 4; e++) {
        double expected = sign > 0 ? 500 * inputs.get("v").data()[e] : 0;
        assertEquals(expected, out.data()[e], 1e-3);
      }
    }
  }

  @Test
  void aMaskWithoutCausalOrderIsRefusedByName() {
    AttentionShape shape = AttentionShape.of(1, 1, 5, 4);
    var error =
        assertThrows(IllegalArgumentException.class, () -> attention().plan(shape, Mask.none(), 1));
    assertTrue(error.getMessage().startsWith("luna: mask must be causal"), error.getMessage());
  }

  private static Luna withActivation(Activation activation) {
    return new Luna(4, activation);
  }
}
