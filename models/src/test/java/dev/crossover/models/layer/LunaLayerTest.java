// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
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
import dev.crossover.variants.lowrank.Luna.Activation;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/// The layer with its maps.
class LunaLayerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new LunaLayer(5);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new LunaLayer(
            OptionalInt.empty(), OptionalInt.of(1), 3, false, Activation.ELU_PLUS_ONE, 7));
  }

  @Override
  public List<String> scoredInputs() {
    return List.of("x", "context", "pack");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        LunaLayerReference.out((LunaLayer) attention, shape, mask, inputs);
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "out_pack",
        (luna, shape, mask, inputs) ->
            LunaLayerReference.outPack((LunaLayer) luna, shape, mask, inputs));
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.UNUSED_GRADIENTS_ZERO, "rows without keys still read the biases of the maps");
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(LunaLayer.class);
  }

  @Test
  void itIsALayerWithANameOfItsOwn() {
    Attention layer = LayerCatalogue.parse("layer/luna:pack_length=5");
    assertEquals(attention(), layer);
    assertEquals("layer/luna:pack_length=5", LayerCatalogue.describe(layer));
    assertEquals("layer/luna", layer.name());
  }

  @Test
  void oneTokenIsPackedIntoEveryRow() {
    Tensors inputs = withIdentityMaps(AttentionShape.of(1, 2, 1, 3), 4);
    LunaLayer luna = new LunaLayer(4);
    Tensor packed = Tensor.zeros(1, 4, 6);
    Tensor out = run(luna, Mask.none(), inputs, packed);
    for (int e = 0; e < 24; e++) {
      assertEquals(inputs.get("x").data()[e % 6], packed.data()[e], 1e-6);
    }
    assertEquals(0, Forward.maxDifference(inputs.get("x"), out), 1e-6);
  }

  @Test
  void oneRowPackAndRowsAlikeGiveEveryQueryThePackedRow() {
    AttentionShape shape = AttentionShape.of(1, 2, 9, 4);
    Tensors inputs = withIdentityMaps(shape, 3);
    for (int e = 8; e < 24; e++) {
      inputs.get("pack").data()[e] = inputs.get("pack").data()[e % 8];
    }
    Tensor packed = Tensor.zeros(1, 3, 8);
    Tensor out = run(new LunaLayer(3), Mask.none(), inputs, packed);
    Tensor first = Tensor.of(Arrays.copyOf(inputs.get("pack").data(), 8), 1, 1, 8);
    Tensor single = Forward.of(withHeads(2, 1), Mask.none(), inputs.with("pack", first));
    for (int e = 0; e < out.size(); e++) {
      assertEquals(packed.data()[e % 8], out.data()[e], 1e-6);
      assertEquals(out.data()[e], single.data()[e], 1e-6);
    }
  }

  /// Long contexts are packed segment by segment; with padding, the first two are real around their
  /// border only and the third is hidden.
  @Test
  void longContextIsPackedAsAWhole() {
    int n = 4500;
    AttentionShape shape = AttentionShape.of(1, 2, n, 4);
    Tensors given = Inputs.of(attention(), shape, 5);
    Tensors inputs = Inputs.withParameters(attention(), shape, given);
    boolean[] real = new boolean[n];
    Arrays.fill(real, 1900, 2100, true);
    for (Mask mask : List.of(Mask.none(), Mask.keys(n, real))) {
      double[] expected = LunaLayerReference.out(new LunaLayer(5), shape, mask, inputs);
      Tensor out = run(attention(), shape, mask, inputs);
      for (int e = 0; e < expected.length; e++) {
        assertEquals(expected[e], out.data()[e], 2e-5, mask.label() + ", element " + e);
      }
    }
  }

  @Test
  void absentContextIsTheInputItself() {
    AttentionShape shape = AttentionShape.of(2, 2, 11, 4);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    for (Mask mask : List.of(Mask.none(), Mask.causal())) {
      Tensor self = run(attention(), shape, mask, inputs);
      Tensor same = run(attention(), shape, mask, inputs.with("context", inputs.get("x").copy()));
      assertArrayEquals(self.data(), same.data(), mask.label());
    }
  }

  @Test
  void causalFormLeavesThePackAsItWas() {
    AttentionShape shape = AttentionShape.of(2, 2, 7, 4);
    Tensors inputs = Inputs.of(attention(), shape, 4);
    Tensor packed = Tensor.zeros(2, 5, 8);
    Tensor out = Tensor.zeros(2, 7, 8);
    attention()
        .plan(shape, Mask.causal(), 1)
        .forward(inputs, out, Tensors.NONE.with("out_pack", packed));
    assertArrayEquals(inputs.get("pack").data(), packed.data());
  }

  @Test
  void queriesBecomeTheLayersInputHeadsSideBySide() {
    Tensor q = Draws.gaussian(1, 1, 2, 3, 2);
    Tensors qkv = Tensors.qkv(q, q, q);
    Tensor x = attention().adapt(AttentionShape.of(1, 2, 3, 2), qkv, 1).get("x");
    assertEquals(q.data()[0], x.data()[0]);
    assertEquals(q.data()[6], x.data()[2], "head 1 of position 0 follows head 0");
    assertEquals(q.data()[2], x.data()[4], "then position 1");
  }

  @Test
  void headsThatDoNotDivideTheWidthAreRefusedByName() {
    AttentionShape shape = AttentionShape.of(1, 2, 5, 4);
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> withHeads(3, 4).plan(shape, Mask.none(), 1));
    assertTrue(error.getMessage().contains("divide the width (8)"), error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new LunaLayer(0));
  }

  private static LunaLayer withHeads(int heads, int packLength) {
    return new LunaLayer(
        OptionalInt.of(heads), OptionalInt.empty(), packLength, true, Activation.SOFTPLUS2, 1);
  }

  private static Tensor run(Attention luna, AttentionShape shape, Mask mask, Tensors inputs) {
    Tensor out = Tensor.zeros(luna.outputShape(shape));
    luna.plan(shape, mask, 1).forward(inputs, out);
    return out;
  }

  private static Tensor run(LunaLayer luna, Mask mask, Tensors inputs, Tensor packed) {
    Tensor x = inputs.get("x");
    AttentionShape shape = AttentionShape.of(x.extent(0), 2, x.extent(1), x.extent(2) / 2);
    Tensor out = Tensor.zeros(luna.outputShape(shape));
    luna.plan(shape, mask, 1).forward(inputs, out, Tensors.NONE.with("out_pack", packed));
    return out;
  }

  private static Tensors withIdentityMaps(AttentionShape shape, int packLength) {
    LunaLayer luna = new LunaLayer(packLength);
    Tensors inputs = Inputs.of(luna, shape, 2);
    int width = shape.numHeads() * shape.headDim();
    Tensor identity = Tensor.zeros(width, width);
    for (int e = 0; e < width; e++) {
      identity.data()[e * width + e] = 1;
    }
    for (String map : luna.maps()) {
      inputs = inputs.with(map + "_weight", identity);
    }
    return inputs;
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(
        120,
        23,
        LunaLayerTest::drawn,
        (luna, shape, mask, inputs) ->
            LunaLayerReference.out((LunaLayer) luna, shape, mask, inputs));
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(
        80,
        24,
        RandomCases.TOLERANCE,
        LunaLayerTest::drawn,
        (luna, shape, mask, inputs) ->
            LunaLayerReference.out((LunaLayer) luna, shape, mask, inputs));
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    AttentionShape shape = r.shape(new LunaLayer(1));
    int width = shape.numHeads() * shape.headDim();
    int packHeads = r.from(1, width);
    LunaLayer luna =
        new LunaLayer(
            OptionalInt.of(shape.numHeads()),
            width % packHeads == 0 ? OptionalInt.of(packHeads) : OptionalInt.empty(),
            r.from(1, 20),
            r.chance(2),
            r.of(Activation.values()),
            r.from(1, 99));
    String[] biases = luna.maps().stream().map(map -> map + "_bias").toArray(String[]::new);
    return r.problem(luna, shape).changed(inputs -> r.blurred(inputs, biases));
  }
}
