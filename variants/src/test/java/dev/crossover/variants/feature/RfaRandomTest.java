// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.GradientDifferences;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.feature.Rfa.Kernel;
import dev.crossover.variants.feature.Rfa.Projection;
import dev.crossover.variants.feature.Rfa.Variant;
import java.util.Map;
import org.junit.jupiter.api.Test;

/// Random feature attention under every option, against its quadratic definition.
class RfaRandomTest {
  /// Signed features: a sum of weights is smaller than the weights, which magnifies rounding
  /// errors.
  private static final double TOLERANCE = 2e-4;

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(100, 1, TOLERANCE, RfaRandomTest::problem, RfaOracle::out);
  }

  private static RandomCases.Problem problem(RandomCases r) {
    Variant variant = r.of(Variant.values());
    boolean gated = variant == Variant.PAPER && r.chance(2);
    return r.problem(
        new Rfa(
            variant,
            r.of(Kernel.values()),
            r.from(variant == Variant.CODE ? 1 : 64, 90),
            r.of(1.0, 1.5),
            gated,
            r.of(Projection.values()),
            r.from(1, 9)));
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(60, 2, 5 * TOLERANCE, RfaRandomTest::problem, RfaOracle::out);
  }

  /// Gates of exactly 0 and 1, and so small that their logarithms sum to below −200: what was
  /// before vanishes, yet its gradient with respect to the gate does not.
  @Test
  void gradientsOfExtremeGatesAgreeWithDifferences() {
    Rfa rfa = new Rfa(Variant.PAPER, Kernel.ARCCOS, 48, 1, true, Projection.IID, 5);
    AttentionShape shape = AttentionShape.of(1, 2, 150, 4);
    Tensor gate = Draws.uniform(2, 0.05, 0.3, 1, 2, 150);
    for (int j = 3; j < gate.size(); j += 7) {
      gate.data()[j] = j % 3 == 0 ? 0 : j % 3 == 1 ? 1 : 1e-20f;
    }
    Tensors inputs = Inputs.withParameters(rfa, shape, Inputs.of(rfa, shape, 1)).with("gate", gate);
    Mask.KeyPadding padding = Inputs.holes(shape, 3);
    for (int j = 0; j < gate.size(); j++) {
      gate.data()[j] = padding.isReal(0, j % 150) ? gate.data()[j] : 0.2f;
    }
    Mask mask = Mask.both(Mask.causal(), padding);
    assertTrue(
        GradientDifferences.compare(
            rfa,
            shape,
            mask,
            inputs,
            RfaOracle::out,
            Map.of("final_state", RfaOracle::finalState),
            2e-4,
            3));
  }

  /// A padded key writes nothing, while the gate of its position applies.
  @Test
  void gateForgetsAtPaddedPositions() {
    int n = 150;
    Rfa rfa = new Rfa(Variant.PAPER, Kernel.ARCCOS, 16, 1, true, Projection.IID, 5);
    AttentionShape shape = AttentionShape.of(2, 2, n, 4);
    Tensors inputs =
        Inputs.withParameters(rfa, shape, Inputs.of(rfa, shape, 1))
            .with("gate", Draws.uniform(2, 0.7, 0.99, 2, 2, n));
    Mask.KeyPadding padding = Inputs.holes(shape, 3);
    Tensor normaliser = Tensor.zeros(2, 2, 16);
    rfa.plan(shape, Mask.both(Mask.causal(), padding), 2)
        .forward(
            inputs, Tensor.zeros(2, 2, n, 4), Tensors.NONE.with("final_normaliser", normaliser));
    double[][] keys = RfaOracle.features(rfa, inputs, "k");
    for (int head = 0; head < 4; head++) {
      for (int a = 0; a < 16; a++) {
        double z = 0;
        for (int t = 0; t < n; t++) {
          double g = inputs.get("gate").data()[head * n + t];
          double written = padding.isReal(head / 2, t) ? keys[head * n + t][a] : 0;
          z = g * z + (1 - g) * written;
        }
        assertEquals(z, normaliser.data()[head * 16 + a], 1e-5);
      }
    }
  }
}
