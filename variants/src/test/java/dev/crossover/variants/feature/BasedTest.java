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
import dev.crossover.attention.testing.GradientDifferences;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class BasedTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new Based();
  }

  @Override
  public Reference reference() {
    return (_, shape, mask, inputs) ->
        Oracle.normalised(
            shape,
            mask,
            inputs.get("v"),
            (b, h, i, j) -> {
              double s =
                  Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                      / Math.sqrt(shape.headDim());
              return 1 + s + s * s / 2;
            },
            0);
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, r -> r.problem(new Based()), reference());
  }

  /// With widths up to 32, between whose kept states others are computed again.
  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(40, 2, 5e-5, r -> r.problem(new Based()), reference());
    AttentionShape shape = new AttentionShape(1, 2, 1, 200, 200, 32, 32, 5);
    Tensors inputs = Inputs.of(new Based(), shape, 3);
    assertTrue(
        GradientDifferences.compare(
            new Based(), shape, Mask.causal(), inputs, reference(), Map.of(), 5e-5, 4));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Based.class);
  }

  /// Halving the queries divides the third-order error by eight; the next term allows 7 to 9.
  @Test
  void errorAgainstSoftmaxFallsLikeTheThirdPowerOfTheScores() {
    double large = error(0.2);
    double small = error(0.1);
    assertEquals(8, large / small, 1, large + ", " + small);
  }

  private static double error(double scale) {
    AttentionShape shape = AttentionShape.of(1, 1, 40, 8);
    Tensor q = Draws.gaussian(1, scale, 1, 1, 40, 8);
    Tensor k = Draws.gaussian(2, 1, 1, 40, 8);
    Tensor v = Draws.gaussian(3, 1, 1, 40, 8);
    double[] exact = Oracle.softmax(shape, Mask.none(), q, k, v, 1 / Math.sqrt(8), null);
    return Forward.maxDifference(exact, Forward.of(new Based(), Mask.none(), Tensors.qkv(q, k, v)));
  }

  @Test
  void zeroQueryGivesTheRunningMean() {
    Tensor q = Tensor.zeros(1, 1, 80, 4);
    Tensor k = Draws.gaussian(2, 1, 1, 80, 4);
    Tensor v = Draws.gaussian(3, 1, 1, 80, 4);
    Tensor out = Forward.of(new Based(), Mask.causal(), Tensors.qkv(q, k, v));
    double sum = 0;
    for (int i = 0; i < 80; i++) {
      sum += v.data()[i * 4];
      assertEquals(sum / (i + 1), out.data()[i * 4], 2e-6);
    }
  }

  @Test
  void anotherOrderIsRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class, () -> new Based(Based.MapKind.TAYLOR, 3, 1e-12));
    assertTrue(error.getMessage().contains("taylor_order"), error.getMessage());
  }
}
