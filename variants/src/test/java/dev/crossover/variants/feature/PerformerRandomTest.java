// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.GradientDifferences;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomCases.Problem;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.feature.Performer.Kernel;
import dev.crossover.variants.feature.Performer.Projection;
import dev.crossover.variants.feature.Performer.QrSign;
import dev.crossover.variants.feature.Performer.Stabiliser;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

/// Every feature map of Performer under every option, against its definition.
class PerformerRandomTest {
  /// Trigonometric features are signed: a sum of weights is smaller than the weights, which
  /// magnifies rounding errors; narrow inputs and many features keep it from being much smaller.
  private static final double TOLERANCE = 1e-4;

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        150,
        1,
        TOLERANCE,
        r -> problem(r, false),
        (attention, shape, mask, inputs) ->
            new PerformerOracle((Performer) attention, shape, mask, inputs).out(inputs.get("v")));
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(
        100, 2, TOLERANCE, r -> problem(r, true), PerformerOracle.withConstantMaxima());
  }

  /// So many features that states between kept ones are computed again, sums of values with them.
  @Test
  void gradientsWithManyFeaturesAgreeWithDifferences() {
    Performer performer =
        new Performer(
            Kernel.SOFTMAX_POSITIVE,
            300,
            OptionalDouble.of(0.05),
            OptionalDouble.of(0),
            Projection.REGULAR,
            QrSign.FIXED,
            Stabiliser.RUNNING,
            3);
    AttentionShape shape = new AttentionShape(2, 2, 1, 200, 210, 6, 6, 5);
    Mask mask = Mask.both(Mask.causal(), Inputs.holes(shape, 3));
    Tensors inputs = Inputs.withParameters(performer, shape, Inputs.of(performer, shape, 3));
    assertTrue(
        GradientDifferences.compare(
            performer,
            shape,
            mask,
            inputs,
            PerformerOracle.withConstantMaxima(),
            Map.of(),
            TOLERANCE,
            4));
  }

  /// Problems; for gradients, of well-conditioned features: without an offset, rectified ones of
  /// narrow heads may be all but zero, and the quotient of two such sums has a slope that single
  /// precision cannot hold.
  private static Problem problem(RandomCases r, boolean gradients) {
    Kernel kernel = r.of(Kernel.values());
    boolean rectified = kernel.name().startsWith("RELU");
    boolean signed = kernel == Kernel.SOFTMAX_TRIGONOMETRIC;
    Stabiliser stabiliser = r.of(Stabiliser.values());
    Performer performer =
        new Performer(
            kernel,
            r.from(signed ? 100 : 1, signed ? 120 : 40),
            OptionalDouble.of(
                gradients && rectified
                    ? r.of(1e-3, 1e-3, 1e-3, 1e-2)
                    : r.of(0.0, 1e-6, 1e-3, 1e-2)),
            OptionalDouble.of(signed ? 0 : r.of(0.0, 1e-6, 1e-3)),
            r.of(Projection.values()),
            r.of(QrSign.values()),
            stabiliser,
            r.from(1, 9));
    Problem problem = r.problem(performer).changed(PerformerRandomTest::halved);
    // The published maximum looks at padded keys, which the random cases may fill with NaN.
    return stabiliser == Stabiliser.GLOBAL
        ? problem.masked(r.chance(2) ? Mask.causal() : Mask.none())
        : problem;
  }

  private static Tensors halved(Tensors inputs) {
    Tensors halved = inputs;
    for (String name : new String[] {"q", "k"}) {
      Tensor half = inputs.get(name).copy();
      for (int e = 0; e < half.size(); e++) {
        half.data()[e] *= 0.5f;
      }
      halved = halved.with(name, half);
    }
    return halved;
  }
}
