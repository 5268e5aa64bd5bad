// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.recurrent.RetNet.Normalisation;
import dev.crossover.variants.recurrent.RetNet.Rotary;
import dev.crossover.variants.recurrent.RetNet.StatePositions;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

/// Retention under every option, against its quadratic definition.
class RetNetRandomTest {
  /// Normalising divides by sums over a row: rounding is relative to the row, not to 1.
  private static final double TOLERANCE = 5e-5;

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        100, 1, TOLERANCE, r -> drawn(r, r.of(Normalisation.values())), RetNetRandomTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r, Normalisation normalisation) {
    RetNet retNet =
        new RetNet(
            r.of(OptionalDouble.empty(), OptionalDouble.of(2)),
            r.of(Rotary.values()),
            normalisation,
            r.of(1e-6, 1e-3));
    AttentionShape s = r.shape(retNet);
    int d = s.headDim() + s.headDim() % 2;
    AttentionShape even =
        new AttentionShape(
            s.batchSize(),
            s.numHeads(),
            s.numKeyValueHeads(),
            s.querySeqLen(),
            s.keySeqLen(),
            d,
            d,
            s.valueDim());
    Tensor decay = Draws.uniform(r.from(1, 99), r.of(0.0, 0.9, 1.0), 1, s.numHeads());
    return r.problem(retNet, even).changed(inputs -> withoutState(inputs).with("decay", decay));
  }

  /// The expectation differentiates sums of absolute values, which are constants in the backward
  /// pass: only settings without them are compared, the others by [RetNetNormalisedTest].
  @Test
  void randomGradientsAgreeWithTheDefinition() {
    RandomGradients.check(
        40, 3, TOLERANCE, r -> drawn(r, Normalisation.NONE), RetNetRandomTest::expected);
  }

  private static Tensors withoutState(Tensors inputs) {
    return Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"));
  }

  /// Any setting, without an initial state.
  static double[] expected(Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    RetNet retNet = (RetNet) attention;
    int n = s.querySeqLen();
    int dv = s.valueDim();
    double[][] q = rotated(retNet, inputs.get("q"));
    double[][] k = rotated(retNet, inputs.get("k"));
    double scale = retNet.scale().orElse(Attention.defaultScale(s));
    double[] out = new double[s.problems() * n * dv];
    for (int row = 0; row < s.problems() * n; row++) {
      int problem = row / n;
      int i = row % n;
      double gamma = inputs.get("decay").data()[problem % s.numHeads()];
      double[] weights = new double[i + 1];
      double decays = 0;
      for (int j = 0; j <= i; j++) {
        double decay = Math.pow(gamma, i - j);
        decays += decay;
        for (int c = 0; c < s.headDim() && mask.isRealKey(problem / s.numHeads(), j); c++) {
          weights[j] += scale * decay * q[row][c] * k[problem * n + j][c];
        }
      }
      boolean normalised = retNet.normalisation() == Normalisation.SCORES_AND_RMS;
      double sum = 0;
      for (double weight : weights) {
        sum += Math.abs(weight) / Math.sqrt(decays);
      }
      double divisor = normalised ? Math.sqrt(decays) * Math.clamp(sum, 1, 5e4) : 1;
      double square = 0;
      for (int c = 0; c < dv; c++) {
        for (int j = 0; j <= i; j++) {
          double value = inputs.get("v").data()[(problem * n + j) * dv + c];
          out[row * dv + c] += weights[j] / divisor * value;
        }
        square += out[row * dv + c] * out[row * dv + c];
      }
      for (int c = 0; c < dv && normalised; c++) {
        out[row * dv + c] /= Math.sqrt(square / dv + retNet.eps());
      }
    }
    return out;
  }

  private static double[][] rotated(RetNet retNet, Tensor x) {
    int d = x.extent(3);
    int pairs = d / 2;
    double[][] rows = new double[x.size() / d][d];
    for (int e = 0; e < x.size(); e++) {
      int a = e % d / 2;
      double angle = pairs == 1 ? 1 : Math.pow(10_000, -a / (pairs - 1.0));
      angle *= retNet.rotary() == Rotary.NONE ? 0 : e / d % x.extent(2);
      double own = x.data()[e];
      double other = x.data()[e ^ 1];
      rows[e / d][e % d] = own * Math.cos(angle) + (e % 2 == 0 ? -other : other) * Math.sin(angle);
    }
    return rows;
  }

  /// `Σ_j γ^(n−1−j) k'_j v_jᵀ` with k' rotated by positions from 0.
  @Test
  void absoluteFinalStateIsTheSumOfRotatedKeys() {
    int n = 80;
    RetNet retNet =
        new RetNet(
            OptionalDouble.empty(),
            Rotary.INTERLEAVED,
            Normalisation.NONE,
            StatePositions.ABSOLUTE,
            1e-6);
    AttentionShape shape = AttentionShape.of(1, 2, n, 6).withValueDim(3);
    Tensors inputs = Inputs.withParameters(retNet, shape, Inputs.of(retNet, shape, 1));
    Tensor state = Tensor.zeros(1, 2, 6, 3);
    retNet
        .plan(shape, Mask.causal(), 1)
        .forward(inputs, Tensor.zeros(1, 2, n, 3), Tensors.NONE.with("final_state", state));
    double[][] k = rotated(retNet, inputs.get("k"));
    for (int e = 0; e < state.size(); e++) {
      int h = e / 18;
      double sum = 0;
      for (int j = 0; j < n; j++) {
        double decay = Math.pow(inputs.get("decay").data()[h], n - 1 - j);
        sum += decay * k[h * n + j][e / 3 % 6] * inputs.get("v").data()[(h * n + j) * 3 + e % 3];
      }
      assertEquals(sum, state.data()[e], 2e-5 * (1 + Math.abs(sum)));
    }
  }
}
