// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

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
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class CosFormerTest extends AttentionContract {
  /// Longer than every sequence of the contract, so that padding and prefixes do not change the
  /// weights.
  private static final int M = 400;

  @Override
  public Attention attention() {
    return new CosFormer(M);
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        Oracle.normalised(
            shape,
            mask,
            inputs.get("v"),
            (b, h, i, j) -> weight(shape, inputs, M, b, h, i, j),
            1e-30);
  }

  /// The definition: ReLU products times the cosine of the distance.
  private static double weight(
      AttentionShape s, Tensors inputs, int length, int b, int h, int i, int j) {
    int q = s.queryOffset(b, h) + i * s.headDim();
    int k = s.keyOffset(b, h) + j * s.headDim();
    double product = 0;
    for (int c = 0; c < s.headDim(); c++) {
      product +=
          (double) Math.max(inputs.get("q").data()[q + c], 0)
              * Math.max(inputs.get("k").data()[k + c], 0);
    }
    return product * Math.cos(Math.PI / 2 * (i - j) / length);
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(80, 1, CosFormerTest::problem, CosFormerTest::expected);
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(60, 2, 5e-5, CosFormerTest::problem, CosFormerTest::expected);
  }

  private static RandomCases.Problem problem(RandomCases r) {
    AttentionShape shape = r.shape(new CosFormer());
    int longest = Math.max(shape.querySeqLen(), shape.keySeqLen());
    OptionalInt length =
        r.chance(3) ? OptionalInt.empty() : OptionalInt.of(longest + r.of(0, 1, 50, 3000));
    return r.problem(new CosFormer(CosFormer.MapKind.RELU, length, r.of(1e-6, 1e-3, 0.3)), shape);
  }

  private static double[] expected(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    CosFormer cosFormer = (CosFormer) attention;
    int longest = Math.max(shape.querySeqLen(), shape.keySeqLen());
    int length = cosFormer.maxLength().orElse(longest);
    return Oracle.normalised(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> weight(shape, inputs, length, b, h, i, j),
        sum -> Math.max(sum, cosFormer.eps()));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(CosFormer.class);
  }

  @Test
  void absentMaxLengthIsTheLongerOfBothSequences() {
    Tensors inputs =
        Tensors.qkv(
            Draws.gaussian(1, 1, 1, 9, 8),
            Draws.gaussian(2, 1, 1, 31, 8),
            Draws.gaussian(3, 1, 1, 31, 8));
    assertEquals(
        0,
        Forward.maxDifference(
            Forward.of(new CosFormer(31), Mask.none(), inputs),
            Forward.of(new CosFormer(), Mask.none(), inputs)));
  }

  /// cos(x) = 1 − x²/2: with n = 20 and M = 10⁶ the weights differ from ReLU products by 5e-10.
  @Test
  void hugeMaxLengthIsLinearAttentionWithReluFeatures() {
    AttentionShape shape = AttentionShape.of(1, 2, 20, 8);
    Tensors inputs =
        Tensors.qkv(
            Draws.gaussian(1, 1, 2, 20, 8),
            Draws.gaussian(2, 1, 2, 20, 8),
            Draws.gaussian(3, 1, 2, 20, 8));
    double[] relu =
        Oracle.normalised(
            shape,
            Mask.causal(),
            inputs.get("v"),
            (b, h, i, j) -> weight(shape, inputs, Integer.MAX_VALUE, b, h, i, j),
            0);
    Tensor out = Forward.of(new CosFormer(1_000_000), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(relu, out) < 2e-5);
  }

  @Test
  void queryWithoutPositiveFeatureGivesZero() {
    Tensor q = Draws.constant(-1, 1, 1, 5, 4);
    Tensor k = Draws.constant(1, 1, 1, 5, 4);
    Tensor v = Draws.constant(1, 1, 1, 5, 4);
    for (double eps : new double[] {1e-6, 0}) {
      CosFormer form = new CosFormer(CosFormer.MapKind.RELU, java.util.OptionalInt.empty(), eps);
      Tensor out = Forward.of(form, Mask.none(), Tensors.qkv(q, k, v));
      assertEquals(0, Forward.maxDifference(Tensor.zeros(1, 1, 5, 4), out));
    }
  }

  @Test
  void epsDampsOnlyRowsWhoseWeightsAreTiny() {
    CosFormer paper = new CosFormer(CosFormer.MapKind.RELU, java.util.OptionalInt.empty(), 0);
    Tensor q = Tensor.of(new float[] {2e-4f, 1}, 1, 1, 2, 1);
    Tensor k = Tensor.of(new float[] {2e-4f, 0}, 1, 1, 2, 1);
    Tensor v = Draws.constant(1, 1, 1, 2, 1);
    Tensor code = Forward.of(new CosFormer(), Mask.none(), Tensors.qkv(q, k, v));
    assertEquals(4e-8 / 1e-6, code.data()[0], 1e-6);
    assertEquals(1, code.data()[1], 1e-6);
    Tensor whole = Forward.of(paper, Mask.none(), Tensors.qkv(q, k, v));
    assertEquals(1, whole.data()[0], 1e-6);
  }

  @Test
  void decodingNeedsMaxLengthAndRefusesPositionsBeyondIt() {
    AttentionShape shape = AttentionShape.of(1, 1, 10, 8);
    var error =
        assertThrows(UnsupportedOperationException.class, () -> new CosFormer().decode(shape));
    assertTrue(error.getMessage().contains("max_length"), error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new CosFormer(9).decode(shape));
    assertThrows(
        IllegalArgumentException.class, () -> new CosFormer(9).plan(shape, Mask.causal(), 1));
    new CosFormer(10).decode(shape);
  }

  @Test
  void badParametersAreRefusedByName() {
    assertThrows(IllegalArgumentException.class, () -> new CosFormer(0));
    assertThrows(
        IllegalArgumentException.class,
        () -> new CosFormer(CosFormer.MapKind.RELU, java.util.OptionalInt.empty(), -1));
  }
}
