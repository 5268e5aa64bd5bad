// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.mixed;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.variants.sparse.Longformer;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class MixedTest extends AttentionContract {
  private static final int WINDOW = 3;

  @Override
  public Attention attention() {
    return new Mixed(List.of(new Tiled(), new Longformer(WINDOW)));
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(), Mixed.parse("0=longformer:window=2,1=tiled,2-3=longformer:window=7"));
  }

  /// Every head sees the keys in its window, or all.
  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> {
      List<Attention> heads = ((Mixed) attention).heads();
      return Oracle.softmax(
          shape,
          mask,
          inputs.get("v"),
          (b, h, i, j) ->
              heads.get(h % heads.size()) instanceof Longformer window
                      && Math.abs(i - j) > window.window()
                  ? Double.NEGATIVE_INFINITY
                  : Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                      / Math.sqrt(shape.headDim()));
    };
  }

  @Test
  void everyHeadIsThatOfItsMechanismBitForBit() {
    AttentionShape shape = AttentionShape.of(2, 4, 50, 8);
    Attention mixed = Mixed.parse("0-1=longformer:window=5,2=tiled,3=longformer:window=5");
    Tensors inputs = mixed.adapt(shape, Tensors.NONE, 3);
    Tensor out = run(mixed, shape, inputs);
    Tensor window = run(new Longformer(5), shape, inputs);
    Tensor exact = run(new Tiled(), shape, inputs);
    int size = 50 * 8;
    for (int p = 0; p < shape.problems(); p++) {
      Tensor expected = p % 4 == 2 ? exact : window;
      assertArrayEquals(
          Arrays.copyOfRange(expected.data(), p * size, (p + 1) * size),
          Arrays.copyOfRange(out.data(), p * size, (p + 1) * size),
          "head " + p % 4);
    }
  }

  private static Tensor run(Attention attention, AttentionShape shape, Tensors inputs) {
    Tensor out = Tensor.zeros(attention.outputShape(shape));
    attention.plan(shape, Mask.causal(), 2).forward(inputs, out);
    return out;
  }

  @Test
  void equalMechanismsShareAPlanWhereverTheirHeadsAre() {
    Mixed mixed = Mixed.parse("0=tiled,1=longformer:window=64,2=tiled");
    assertEquals(List.of(0, 2, 3, 5), mixed.groups(6).get(new Tiled()));
    assertEquals(List.of(1, 4), mixed.groups(6).get(new Longformer(64)));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "mixed:0=tiled,1=longformer:window=64; mixed:0=tiled,1=longformer:window=64",
        "mixed:0=tiled,1=tiled,2=moba:block_size=64,top_k=5;"
            + " mixed:0-1=tiled,2=moba:block_size=64,top_k=5",
        "mixed:1=tiled,0=longformer:window=256; mixed:0=longformer,1=tiled",
      })
  void textIsReadAndWrittenShortest(String text, String shortest) {
    Attention attention = LayerCatalogue.parse(text);
    assertEquals(shortest, LayerCatalogue.describe(attention));
    assertEquals(attention, LayerCatalogue.parse(shortest));
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "0=tiled,2=tiled; head 1 was absent",
        "0=tiled,0=longformer; must be named once",
        "tiled; must read HEAD=mechanism",
        "2-1=tiled; must grow",
        "0=linear_transformer; must be exact or approximate softmax",
        "0=performer; reads random_projection",
        "0=longformr; did you mean longformer",
      })
  void whatCannotBeMixedIsRefusedByName(String text, String reason) {
    IllegalArgumentException fault =
        assertThrows(IllegalArgumentException.class, () -> Mixed.parse(text));
    assertTrue(String.valueOf(fault.getMessage()).contains(reason), fault.getMessage());
  }

  @Test
  void aMixIsOfTheKindOfItsRoughestHead() {
    Attention mixed = LayerCatalogue.parse("mixed:0=tiled,1=longformer:window=64");
    assertEquals("longformer", LayerCatalogue.typeOf(mixed).name());
    assertEquals("0=tiled,1=longformer:window=64", LayerCatalogue.parametersOf(mixed).get("heads"));
  }
}
