// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.Recurrence;
import java.util.List;
import java.util.OptionalDouble;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class KdaTest extends RecurrentContract {
  @Override
  public Attention attention() {
    return new Kda();
  }

  /// Keys far from unit length make the recurrence itself diverge.
  @Override
  public List<String> scoredInputs() {
    return List.of("q");
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(2));
    return new Kda(scale, r.of(OptionalInt.empty(), OptionalInt.of(r.from(1, 40))));
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    return new Recurrence(
        ((Kda) attention).scale().orElse(Attention.defaultScale(s)),
        (row, a) -> inputs.get("log_decay").data()[row * s.headDim() + a],
        false,
        (row, _) -> inputs.get("beta").data()[row],
        true);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Kda.class);
  }

  @Test
  void equalDecaysInAllChannelsAreGatedDeltaNet() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors inputs = Inputs.of(new GatedDeltaNet(), shape, 5);
    Tensor perToken = inputs.get("log_decay").reshape(new int[] {1, 2, 130, 1});
    requireClose(
        Forward.of(new GatedDeltaNet(), Mask.causal(), inputs),
        Forward.of(
            attention(), Mask.causal(), inputs.with("log_decay", Inputs.repeated(perToken, 3, 8))),
        "out");
  }

  @Test
  void strengthZeroLeavesTheDecayedState() {
    AttentionShape shape = AttentionShape.of(1, 1, 70, 4);
    Tensors inputs =
        Inputs.of(attention(), shape, 6, List.of("initial_state"))
            .with("beta", Draws.constant(0, 1, 1, 70));
    double[] expected = new double[70 * 4];
    double[] sums = new double[4];
    for (int t = 0; t < 70; t++) {
      for (int a = 0; a < 4; a++) {
        sums[a] += inputs.get("log_decay").data()[t * 4 + a];
        for (int c = 0; c < 4; c++) {
          double state = Math.exp(sums[a]) * inputs.get("initial_state").data()[a * 4 + c];
          expected[t * 4 + c] += state * inputs.get("q").data()[t * 4 + a] / 2;
        }
      }
    }
    requireClose(expected, Forward.of(attention(), Mask.causal(), inputs), "out");
  }

  /// exp(−c) over the sequence overflows float32 many times over.
  @Test
  void strongDecaysStayFinite() {
    AttentionShape shape = AttentionShape.of(1, 1, 130, 8);
    Tensors inputs =
        Inputs.of(attention(), shape, 8).with("log_decay", Draws.uniform(9, -30, 0, 1, 1, 130, 8));
    double[] expected =
        recurrence(attention(), shape, inputs).run(shape, Mask.causal(), inputs).out();
    requireClose(expected, Forward.of(attention(), Mask.causal(), inputs), "out");
  }
}
