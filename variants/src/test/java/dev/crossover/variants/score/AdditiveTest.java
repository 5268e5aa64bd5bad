// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

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
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class AdditiveTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Additive();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Additive(OptionalInt.of(5), true, 7));
  }

  @Override
  public Reference reference() {
    return (_, shape, mask, inputs) ->
        Oracle.softmax(shape, mask, inputs.get("v"), scores(shape, inputs));
  }

  private static Oracle.Pair scores(AttentionShape s, Tensors inputs) {
    int a = inputs.get("score_vector").extent(1);
    double[] vector = new double[s.numHeads() * a];
    for (int h = 0; h < s.numHeads(); h++) {
      double square = 0;
      for (int c = h * a; c < (h + 1) * a; c++) {
        vector[c] = inputs.get("score_vector").data()[c];
        square += vector[c] * vector[c];
      }
      for (int c = h * a; inputs.has("gain") && c < (h + 1) * a; c++) {
        vector[c] *= inputs.get("gain").data()[h] / Math.sqrt(square);
      }
    }
    double[] q = projected(inputs.get("q"), inputs.get("w_q"), s.numHeads());
    double[] k = projected(inputs.get("k"), inputs.get("w_k"), s.numHeads());
    return (b, h, i, j) -> {
      double score = 0;
      for (int c = 0; c < a; c++) {
        double z =
            q[((b * s.numHeads() + h) * s.querySeqLen() + i) * a + c]
                + k[((b * s.numHeads() + h) * s.keySeqLen() + j) * a + c];
        z += inputs.has("gain") ? inputs.get("tanh_bias").data()[h * a + c] : 0;
        score += vector[h * a + c] * Math.tanh(z);
      }
      return score;
    };
  }

  /// x W of every query head, `[batch, heads, n, a]`.
  private static double[] projected(Tensor x, Tensor w, int heads) {
    int n = x.extent(2);
    int width = x.extent(3);
    int a = w.extent(2);
    double[] y = new double[x.extent(0) * heads * n * a];
    for (int row = 0; row < y.length / a; row++) {
      int problem = row / n;
      int h = problem % heads;
      int owner = problem / (heads / x.extent(1));
      for (int e = 0; e < width; e++) {
        double element = x.data()[(owner * n + row % n) * width + e];
        for (int c = 0; c < a; c++) {
          y[row * a + c] += element * w.data()[(h * width + e) * a + c];
        }
      }
    }
    return y;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Additive.class);
  }

  @Test
  void zeroScoreVectorGivesTheMeanOfTheVisibleValues() {
    Tensors inputs = inputs(6, 9).with("score_vector", Tensor.zeros(1, 4));
    Mask mask = Mask.lengths(9, 5);
    for (boolean normalised : new boolean[] {false, true}) {
      Tensor out = Forward.of(new Additive(OptionalInt.empty(), normalised, 1), mask, inputs);
      for (int e = 0; e < out.size(); e++) {
        double mean = 0;
        for (int j = 0; j < 5; j++) {
          mean += inputs.get("v").data()[j * 3 + e % 3] / 5.0;
        }
        assertEquals(mean, out.data()[e], 1e-6);
      }
    }
  }

  @Test
  void oneKeyGivesItsValue() {
    Tensors inputs = inputs(4, 1);
    Tensor out = Forward.of(new Additive(), Mask.none(), inputs);
    for (int e = 0; e < out.size(); e++) {
      assertEquals(inputs.get("v").data()[e % 3], out.data()[e]);
    }
  }

  /// tanh(z) = z + O(z³) with |z| < 1e-2: the query's part is the same for all keys up to 1e-6.
  @Test
  void tinyProjectionsMakeTheWeightsDependOnKeysOnly() {
    Tensors inputs =
        inputs(8, 7)
            .with("w_q", Draws.gaussian(1, 1e-3, 1, 4, 4))
            .with("w_k", Draws.gaussian(2, 1e-3, 1, 6, 4))
            .with("score_vector", Draws.constant(100, 1, 4));
    Tensor out = Forward.of(new Additive(), Mask.none(), inputs);
    for (int e = 0; e < out.size(); e++) {
      assertEquals(out.data()[e % 3], out.data()[e], 1e-4);
    }
    Tensor uniform =
        Forward.of(new Additive(), Mask.none(), inputs.with("score_vector", Tensor.zeros(1, 4)));
    assertTrue(Forward.maxDifference(uniform, out) > 1e-2);
  }

  @Test
  void weightNormalisationForgetsTheLengthOfTheScoreVector() {
    Tensors inputs = inputs(5, 8);
    Additive normalised = new Additive(OptionalInt.empty(), true, 3);
    Tensor vector = Draws.gaussian(4, 1, 4);
    Tensor longer = vector.copy();
    for (int c = 0; c < 4; c++) {
      longer.data()[c] *= 8;
    }
    Tensor before = Forward.of(normalised, Mask.none(), inputs.with("score_vector", vector));
    Tensor after = Forward.of(normalised, Mask.none(), inputs.with("score_vector", longer));
    assertEquals(0, Forward.maxDifference(before, after), 1e-7);
  }

  @Test
  void scoresBeyondTheRangeOfExpStayFinite() {
    Tensors inputs = inputs(5, 8).with("score_vector", Draws.constant(1000, 1, 4));
    double[] expected =
        Oracle.softmax(
            new Additive().shapeOf(inputs),
            Mask.none(),
            inputs.get("v"),
            scores(new Additive().shapeOf(inputs), withProjections(inputs)));
    Tensor out = Forward.of(new Additive(), Mask.none(), withProjections(inputs));
    assertTrue(Forward.maxDifference(expected, out) < 1e-2, "scores of 1e3 ± 2e-4 each");
  }

  @Test
  void badWidthIsRefusedByName() {
    assertThrows(IllegalArgumentException.class, () -> new Additive(OptionalInt.of(0), false, 1));
  }

  private static Tensors withProjections(Tensors inputs) {
    return inputs
        .with("w_q", Draws.gaussian(11, 0.5, 1, 4, 4))
        .with("w_k", Draws.gaussian(12, 0.5, 1, 6, 4));
  }

  private static Tensors inputs(int nq, int nk) {
    return Tensors.qkv(
        Draws.gaussian(1, 1, 1, nq, 4),
        Draws.gaussian(2, 1, 1, nk, 6),
        Draws.gaussian(3, 1, 1, nk, 3));
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(120, 28, AdditiveTest::drawn, reference());
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(60, 33, RandomCases.TOLERANCE, AdditiveTest::drawn, reference());
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    return r.problem(
            new Additive(
                r.chance(3) ? OptionalInt.empty() : OptionalInt.of(r.from(1, 20)),
                r.chance(2),
                r.from(1, 99)))
        .changed(inputs -> r.blurred(inputs, "gain", "tanh_bias"));
  }
}
