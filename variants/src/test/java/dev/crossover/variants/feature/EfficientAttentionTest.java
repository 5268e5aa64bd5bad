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
import dev.crossover.variants.feature.EfficientAttention.Normalisation;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class EfficientAttentionTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new EfficientAttention();
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new EfficientAttention(Normalisation.SCALING));
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        ((EfficientAttention) attention).normalisation() == Normalisation.SCALING
            ? scaled(shape, mask, inputs)
            : softmax(shape, mask, inputs);
  }

  /// (q kᵀ/n) v, the other order of multiplication.
  private static double[] scaled(AttentionShape shape, Mask mask, Tensors inputs) {
    return Oracle.summed(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) ->
            Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                / mask.realKeys(b, shape.keySeqLen()));
  }

  /// Σ_c ρ_q(q_i)_c ρ_k(k_j)_c as the weight of key j.
  private static double[] softmax(AttentionShape shape, Mask mask, Tensors inputs) {
    int d = shape.headDim();
    float[] q = inputs.get("q").data();
    float[] k = inputs.get("k").data();
    double[] columns = new double[shape.batchSize() * shape.numKeyValueHeads() * d];
    for (int e = 0; e < k.length; e++) {
      int row = e / d % shape.keySeqLen();
      int head = e / d / shape.keySeqLen();
      if (mask.isRealKey(head / shape.numKeyValueHeads(), row)) {
        columns[head * d + e % d] += Math.exp(k[e]);
      }
    }
    int group = shape.numHeads() / shape.numKeyValueHeads();
    return Oracle.summed(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int qo = shape.queryOffset(b, h) + i * d;
          int ko = shape.keyOffset(b, h) + j * d;
          int head = b * shape.numKeyValueHeads() + h / group;
          double row = 0;
          double weight = 0;
          for (int c = 0; c < d; c++) {
            row += Math.exp(q[qo + c]);
            weight += Math.exp(q[qo + c]) * Math.exp(k[ko + c]) / columns[head * d + c];
          }
          return weight / row;
        });
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        60, 1, r -> r.problem(new EfficientAttention(r.of(Normalisation.values()))), reference());
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(
        60,
        2,
        2e-5,
        r -> r.problem(new EfficientAttention(r.of(Normalisation.values()))),
        reference());
  }

  /// Several segments of queries and of keys, two heads that share a context.
  @Test
  void gradientsOverSeveralSegmentsAgreeWithDifferences() {
    AttentionShape shape = new AttentionShape(1, 2, 1, 1100, 1200, 3, 3, 2);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    assertTrue(
        GradientDifferences.compare(
            attention(), shape, Mask.none(), inputs, reference(), Map.of(), 2e-5, 4));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(EfficientAttention.class);
  }

  @Test
  void manySegmentsWithRisingMaximaEqualTheDefinition() {
    AttentionShape shape = AttentionShape.of(1, 1, 2500, 4);
    Tensor k = Draws.gaussian(2, 1, 1, 2500, 4);
    for (int e = 0; e < k.size(); e++) {
      k.data()[e] += e / 2000f;
    }
    Tensors inputs =
        Tensors.qkv(Draws.gaussian(1, 1, 1, 2500, 4), k, Draws.gaussian(3, 1, 1, 2500, 4));
    double[] expected = softmax(shape, Mask.none(), inputs);
    Tensor out = Forward.of(new EfficientAttention(), Mask.none(), inputs);
    assertTrue(Forward.maxDifference(expected, out) < 2e-5);
  }

  @Test
  void singlePositionReturnsItsValue() {
    Tensor q = Draws.gaussian(1, 1, 1, 3, 5);
    Tensor k = Draws.gaussian(2, 1, 1, 1, 5);
    Tensor v = Draws.gaussian(3, 1, 1, 1, 5);
    Tensor out = Forward.of(new EfficientAttention(), Mask.none(), Tensors.qkv(q, k, v));
    for (int e = 0; e < out.size(); e++) {
      assertEquals(v.data()[e % 5], out.data()[e], 1e-6);
    }
  }

  @Test
  void constantKeysGiveTheMeanOfTheValuesAndConstantValuesThemselves() {
    Tensor q = Draws.gaussian(1, 1, 1, 70, 5);
    Tensor k = Draws.constant(0.7, 1, 1, 70, 5);
    Tensor v = Draws.gaussian(3, 1, 1, 70, 5);
    Tensor out = Forward.of(new EfficientAttention(), Mask.none(), Tensors.qkv(q, k, v));
    for (int c = 0; c < 5; c++) {
      double mean = 0;
      for (int j = 0; j < 70; j++) {
        mean += v.data()[j * 5 + c] / 70.0;
      }
      assertEquals(mean, out.data()[c], 2e-6);
    }
    Tensor constant = Draws.constant(2, 1, 1, 70, 5);
    Tensors inputs = Tensors.qkv(q, Draws.gaussian(2, 1, 1, 70, 5), constant);
    Tensor same = Forward.of(new EfficientAttention(), Mask.none(), inputs);
    assertTrue(Forward.maxDifference(constant, same) < 5e-6);
  }

  @Test
  void singleChannelGivesEveryQueryTheSameRow() {
    Tensor q = Draws.gaussian(1, 1, 1, 6, 1);
    Tensor k = Draws.gaussian(2, 1, 1, 9, 1);
    Tensor v = Draws.gaussian(3, 1, 1, 9, 1);
    double sum = 0;
    double weights = 0;
    for (int j = 0; j < 9; j++) {
      sum += Math.exp(k.data()[j]) * v.data()[j];
      weights += Math.exp(k.data()[j]);
    }
    Tensor out = Forward.of(new EfficientAttention(), Mask.none(), Tensors.qkv(q, k, v));
    for (int i = 0; i < 6; i++) {
      assertEquals(sum / weights, out.data()[i], 2e-6);
    }
  }

  @Test
  void causalOrderIsRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> attention().plan(AttentionShape.of(1, 1, 4, 4), Mask.causal(), 1));
    assertTrue(error.getMessage().contains("efficient_attention"), error.getMessage());
  }
}
