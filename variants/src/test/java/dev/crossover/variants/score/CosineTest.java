// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
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
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class CosineTest extends AttentionContract {
  /// Scores of at most 100 with a relative error of 2^-22 shift weights by 2.4e-5, outputs of size
  /// 3.
  private static final double TOLERANCE = 1e-4;

  @Override
  public Attention attention() {
    return new Cosine();
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(), new Cosine(Cosine.ScaleMode.KEY_STRENGTH, OptionalDouble.empty(), 0));
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> {
      double eps = ((Cosine) attention).eps();
      Oracle.Pair cosines = cosines(shape, inputs.get("q"), inputs.get("k"), eps);
      return Oracle.softmax(
          shape,
          mask,
          inputs.get("v"),
          (b, h, i, j) -> {
            double scale =
                inputs.has("logit_scale")
                    ? Math.exp(inputs.get("logit_scale").data()[h])
                    : inputs.get("key_strength")
                        .data()[(b * shape.numHeads() + h) * shape.querySeqLen() + i];
            double most = inputs.has("logit_scale") ? 100 : Double.POSITIVE_INFINITY;
            scale = Math.min(scale, ((Cosine) attention).maxScale().orElse(most));
            int row = h * shape.querySeqLen() + i;
            double bias =
                inputs.has("bias") ? inputs.get("bias").data()[row * shape.keySeqLen() + j] : 0;
            return bias + scale * cosines.at(b, h, i, j);
          });
    };
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("bias");
  }

  /// Gradients of scores of at most 100 sum weights with the outputs' relative error.
  @Override
  public double gradientTolerance() {
    return TOLERANCE;
  }

  /// Cosines of all pairs, of norms that are eps at least; 0 where a norm is 0.
  private static Oracle.Pair cosines(AttentionShape s, Tensor q, Tensor k, double eps) {
    double[] queryNorms = norms(q, eps);
    double[] keyNorms = norms(k, eps);
    return (b, h, i, j) -> {
      double product =
          queryNorms[(b * s.numHeads() + h) * s.querySeqLen() + i]
              * keyNorms[s.keyOffset(b, h) / s.headDim() + j];
      return product == 0 ? 0 : Oracle.dot(s, q, k, b, h, i, j) / product;
    };
  }

  /// Norms of all rows of `[batch, heads, n, d]`, eps at least.
  private static double[] norms(Tensor x, double eps) {
    int d = x.extent(3);
    double[] norms = new double[x.size() / d];
    for (int row = 0; row < norms.length; row++) {
      norms[row] = Math.max(norm(x, row * d, d), eps);
    }
    return norms;
  }

  private static double norm(Tensor x, int from, int d) {
    double square = 0;
    for (int c = from; c < from + d; c++) {
      square += (double) x.data()[c] * x.data()[c];
    }
    return Math.sqrt(square);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Cosine.class);
  }

  @Test
  void unitNormInputsEqualSoftmaxWithThatScale() {
    AttentionShape shape = AttentionShape.of(2, 2, 19, 8);
    Tensor q = unit(Draws.gaussian(1, 2, 2, 19, 8));
    Tensor k = unit(Draws.gaussian(2, 2, 2, 19, 8));
    Tensor v = Draws.gaussian(3, 2, 2, 19, 8);
    Tensors inputs = Tensors.qkv(q, k, v).with("logit_scale", Draws.constant(Math.log(4), 2));
    double[] softmax = Oracle.softmax(shape, Mask.causal(), q, k, v, 4, null);
    Tensor out = Forward.of(new Cosine(), Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(softmax, out) < 2e-5);
  }

  @Test
  void zeroQueryWeighsVisibleKeysAlikeAndZeroKeyScoresZero() {
    Tensor q = Draws.gaussian(1, 1, 1, 2, 4);
    java.util.Arrays.fill(q.data(), 0, 4, 0);
    Tensor k = Tensor.of(new float[] {0, 0, 0, 0, 1, 2, 3, 4}, 1, 1, 2, 4);
    Tensor v = Tensor.of(new float[] {1, 3}, 1, 1, 2, 1);
    System.arraycopy(k.data(), 4, q.data(), 4, 4);
    for (double eps : new double[] {0, 1e-12}) {
      Cosine cosine = new Cosine(Cosine.ScaleMode.LOGIT_SCALE, OptionalDouble.empty(), eps);
      Tensors inputs = Tensors.qkv(q, k, v).with("logit_scale", Draws.constant(Math.log(2), 1));
      Tensor out = Forward.of(cosine, Mask.none(), inputs);
      assertEquals(2, out.data()[0], 1e-6);
      double e = Math.exp(2);
      assertEquals((1 + 3 * e) / (1 + e), out.data()[1], 1e-6);
    }
  }

  @Test
  void lengthsOfQueriesAndKeysChangeNothing() {
    Tensor q = Draws.gaussian(1, 1, 2, 9, 6);
    Tensor k = Draws.gaussian(2, 1, 2, 9, 6);
    Tensor v = Draws.gaussian(3, 1, 2, 9, 6);
    Tensor before = Forward.of(new Cosine(), Mask.none(), Tensors.qkv(q, k, v));
    Tensor longer = times(1024, q);
    Tensor shorter = times(0x1p-30, k);
    Tensor after = Forward.of(new Cosine(), Mask.none(), Tensors.qkv(longer, shorter, v));
    assertArrayEquals(before.data(), after.data());
  }

  @Test
  void lowerBoundOfTheNormLeavesTinyVectorsShort() {
    Tensor q = Tensor.of(new float[] {1e-13f, 0}, 1, 1, 1, 2);
    Tensor k = Tensor.of(new float[] {1, 0, -1, 0}, 1, 1, 2, 2);
    Tensor v = Tensor.of(new float[] {1, -1}, 1, 1, 2, 1);
    Tensors inputs = Tensors.qkv(q, k, v).with("logit_scale", Tensor.zeros(1));
    Tensor code = Forward.of(new Cosine(), Mask.none(), inputs);
    Cosine paper = new Cosine(Cosine.ScaleMode.LOGIT_SCALE, OptionalDouble.empty(), 0);
    assertEquals(Math.tanh(0.1), code.data()[0], 1e-6, "cosine 0.1: a tenth of the bound");
    assertEquals(Math.tanh(1), Forward.of(paper, Mask.none(), inputs).data()[0], 1e-6);
  }

  @Test
  void learnedScaleIsBoundedAndKeyStrengthIsNot() {
    Tensor q = Draws.gaussian(1, 1, 1, 5, 6);
    Tensor k = Draws.gaussian(2, 1, 1, 7, 6);
    Tensor v = Draws.gaussian(3, 1, 1, 7, 6);
    Tensors plain = Tensors.qkv(q, k, v);
    Cosine strengths = new Cosine(Cosine.ScaleMode.KEY_STRENGTH, OptionalDouble.empty(), 1e-12);
    Tensor at100 =
        Forward.of(
            strengths, Mask.none(), plain.with("key_strength", Draws.constant(100, 1, 1, 5)));
    Tensor at400 =
        Forward.of(
            strengths, Mask.none(), plain.with("key_strength", Draws.constant(400, 1, 1, 5)));
    Tensors learned = plain.with("logit_scale", Draws.constant(Math.log(400), 1));
    Cosine wider = new Cosine(Cosine.ScaleMode.LOGIT_SCALE, OptionalDouble.of(400), 1e-12);
    assertEquals(
        0, Forward.maxDifference(at100, Forward.of(new Cosine(), Mask.none(), learned)), TOLERANCE);
    assertEquals(
        0, Forward.maxDifference(at400, Forward.of(wider, Mask.none(), learned)), TOLERANCE);
    assertTrue(Forward.maxDifference(at100, at400) > 100 * TOLERANCE);
  }

  @Test
  void biasIsAddedToTheScaledCosineUnderEveryMask() {
    AttentionShape shape = AttentionShape.of(2, 2, 300, 4);
    Tensors inputs =
        Tensors.qkv(
                Draws.gaussian(1, 2, 2, 300, 4),
                Draws.gaussian(2, 2, 2, 300, 4),
                Draws.gaussian(3, 2, 2, 300, 4))
            .with("logit_scale", Draws.constant(1, 2))
            .with("bias", Draws.gaussian(4, 1, 2, 300, 300));
    Mask.KeyPadding padding = Mask.lengths(300, 300, 281);
    for (Mask mask :
        List.of(Mask.none(), Mask.causal(), padding, Mask.both(Mask.causal(), padding))) {
      Oracle.Pair cosines = cosines(shape, inputs.get("q"), inputs.get("k"), 1e-12);
      double[] expected =
          Oracle.softmax(
              shape,
              mask,
              inputs.get("v"),
              (b, h, i, j) ->
                  Math.E * cosines.at(b, h, i, j)
                      + inputs.get("bias").data()[(h * 300 + i) * 300 + j]);
      Tensor out = Forward.of(new Cosine(), mask, inputs);
      assertTrue(Forward.maxDifference(expected, out) < 2e-5, mask.label());
    }
  }

  @Test
  void badParametersAreRefusedByName() {
    assertThrows(
        IllegalArgumentException.class,
        () -> new Cosine(Cosine.ScaleMode.LOGIT_SCALE, OptionalDouble.of(0), 0));
    assertThrows(
        IllegalArgumentException.class,
        () -> new Cosine(Cosine.ScaleMode.LOGIT_SCALE, OptionalDouble.empty(), -1));
  }

  private static Tensor unit(Tensor x) {
    int d = x.extent(3);
    for (int row = 0; row < x.size(); row += d) {
      double norm = norm(x, row, d);
      for (int c = row; c < row + d; c++) {
        x.data()[c] /= (float) norm;
      }
    }
    return x;
  }

  private static Tensor times(double factor, Tensor x) {
    Tensor y = x.copy();
    for (int i = 0; i < y.size(); i++) {
      y.data()[i] *= (float) factor;
    }
    return y;
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(
        150,
        29,
        r ->
            r.problem(
                    new Cosine(
                        r.of(Cosine.ScaleMode.values()),
                        r.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(r.from(1, 20)),
                        r.of(1e-12, 0.0, 0.5)))
                .changed(inputs -> r.blurred(inputs, "logit_scale")),
        reference());
  }

  @Test
  void anyGradientAgreesWithDifferencesOfTheDefinition() {
    RandomGradients.check(
        60,
        31,
        TOLERANCE,
        r ->
            r.problem(
                    new Cosine(
                        r.of(Cosine.ScaleMode.values()),
                        r.chance(2) ? OptionalDouble.empty() : OptionalDouble.of(r.from(1, 20)),
                        r.of(1e-12, 0.0, 0.5)))
                .changed(inputs -> r.blurred(inputs, "logit_scale")),
        reference());
  }

  @Test
  void gradientOfAQueryIsAtRightAnglesToIt() {
    AttentionShape shape = AttentionShape.of(1, 2, 20, 8);
    Tensors inputs = Inputs.of(attention(), shape, 5);
    Tensor gradient = Tensor.zeros(1, 2, 20, 8);
    DifferentiablePlan plan = attention().differentiable(shape, Mask.causal(), 1);
    plan.forward(inputs, Tensor.zeros(1, 2, 20, 8));
    plan.backward(Draws.gaussian(6, 1, 2, 20, 8), Tensors.NONE.with("grad_q", gradient));
    double largest = 0;
    for (int row = 0; row < 40; row++) {
      double dot = 0;
      for (int c = row * 8; c < row * 8 + 8; c++) {
        dot += (double) gradient.data()[c] * inputs.get("q").data()[c];
        largest = Math.max(largest, Math.abs(gradient.data()[c]));
      }
      assertEquals(0, dot, 1e-5);
    }
    assertTrue(largest > 0.1);
  }
}
