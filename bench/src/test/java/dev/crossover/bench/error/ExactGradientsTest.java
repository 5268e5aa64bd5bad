// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;

class ExactGradientsTest {
  private static final AttentionShape SHAPE = new AttentionShape(2, 4, 2, 9, 11, 5, 5, 3);
  private static final int[] SOME = {1, 4, 8};

  private final Tensors inputs = new Tiled().adapt(SHAPE, Tensors.NONE, 3);
  private final Tensor gradOut = Draws.gaussian(4, 2, 4, 9, 3);

  /// (L(x + h) − L(x − h)) / 2h of L = Σ G ∘ out over the positions, with outputs in double.
  @Test
  void gradientsAgreeWithDifferences() {
    for (Mask mask : List.of(Mask.none(), Mask.causal(), padded())) {
      ExactGradients gradients = ExactGradients.of(target(mask, inputs), gradOut, SOME, 2);
      for (String name : List.of("q", "k", "v")) {
        int size = inputs.get(name).size();
        for (int e = 0; e < size; e += 7) {
          assertEquals(difference(mask, name, e), of(gradients, name, e), 1e-4, name + e + mask);
        }
      }
    }
  }

  private static double of(ExactGradients gradients, String name, int e) {
    return switch (name) {
      case "k" -> gradients.key()[e];
      case "v" -> gradients.value()[e];
      default -> {
        int row = e / SHAPE.headDim();
        int at = List.of(1, 4, 8).indexOf(row % 9);
        yield at < 0
            ? 0
            : gradients.query()[(row / 9 * 3 + at) * SHAPE.headDim() + e % SHAPE.headDim()];
      }
    };
  }

  private double difference(Mask mask, String name, int e) {
    float step = 1f / 128;
    double[] losses = new double[2];
    for (int side = 0; side < 2; side++) {
      Tensor moved = inputs.get(name).copy();
      moved.data()[e] += side == 0 ? step : -step;
      ExactRows rows = ExactRows.of(target(mask, inputs.with(name, moved)), SOME, 1);
      for (int x = 0; x < rows.values().length; x++) {
        int row = x / 3;
        int g = (row / SOME.length * 9 + SOME[row % SOME.length]) * 3 + x % 3;
        losses[side] += rows.values()[x] * gradOut.data()[g];
      }
    }
    return (losses[0] - losses[1]) / (2.0 * step);
  }

  private static Mask padded() {
    boolean[] real = new boolean[22];
    for (int j = 0; j < 11; j++) {
      real[j] = j % 3 != 1; // of the second sequence, no key is real
    }
    return Mask.keys(11, real);
  }

  private static ExactTarget target(Mask mask, Tensors inputs) {
    return new Tiled().exactTarget(SHAPE, mask, inputs);
  }

  @Test
  void exactAttentionHasRoundingErrorOnlyWhateverThePositions() {
    for (int[] positions : List.of(SOME, IntStream.range(0, 9).toArray())) {
      ErrorNorms norms = norms(1, positions);
      assertTrue(norms.relativeFrobenius() < 1e-6, norms.toString());
      assertTrue(norms.relativeFrobenius() > 0, norms.toString());
      assertEquals(positions.length, norms.rows());
      assertEquals(1, norms.meanCosine(), 1e-9);
      assertEquals(4, norms.perHead().size());
    }
  }

  /// Gradients of v that are a tenth too large are 10 % off, those of q and k as they were.
  @Test
  void theWorstGradientIsTheError() {
    ErrorNorms norms = norms(1.1f, SOME);
    assertEquals(0.1, norms.gradients().value(), 1e-5);
    assertTrue(norms.gradients().query() < 1e-6 && norms.gradients().key() < 1e-6);
    assertEquals(norms.gradients().value(), norms.relativeFrobenius());
  }

  private ErrorNorms norms(float factorOfValues, int[] positions) {
    DifferentiablePlan plan = new Tiled().differentiable(SHAPE, Mask.causal(), 1);
    plan.forward(inputs, Tensor.zeros(2, 4, 9, 3));
    Tensor q = Tensor.zeros(2, 4, 9, 5);
    Tensor k = Tensor.zeros(2, 2, 11, 5);
    Tensor v = Tensor.zeros(2, 2, 11, 3);
    plan.backward(
        ExactGradients.at(positions, gradOut),
        Tensors.NONE.with("grad_q", q).with("grad_k", k).with("grad_v", v));
    for (int e = 0; e < v.size(); e++) {
      v.data()[e] *= factorOfValues;
    }
    return ExactGradients.of(target(Mask.causal(), inputs), gradOut, positions, 1).compare(q, k, v);
  }

  @Test
  void threadsDoNotMatter() {
    ExactGradients one = ExactGradients.of(target(Mask.causal(), inputs), gradOut, SOME, 1);
    ExactGradients three = ExactGradients.of(target(Mask.causal(), inputs), gradOut, SOME, 3);
    assertEquals(IntStream.of(SOME).sum(), IntStream.of(three.positions()).sum());
    for (int e = 0; e < one.key().length; e++) {
      assertEquals(one.key()[e], three.key()[e]);
    }
  }
}
