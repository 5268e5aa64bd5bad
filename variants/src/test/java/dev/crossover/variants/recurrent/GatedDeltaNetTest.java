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
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class GatedDeltaNetTest extends RecurrentContract {
  @Override
  public Attention attention() {
    return new GatedDeltaNet();
  }

  /// Keys far from unit length make the recurrence itself diverge.
  @Override
  public List<String> scoredInputs() {
    return List.of("q");
  }

  @Override
  Attention drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(2));
    return new GatedDeltaNet(scale);
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    return new Recurrence(
        ((GatedDeltaNet) attention).scale().orElse(Attention.defaultScale(s)),
        (row, _) -> inputs.get("log_decay").data()[row],
        false,
        (row, _) -> inputs.get("beta").data()[row],
        true);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(GatedDeltaNet.class);
  }

  @Test
  void gatesZeroAreDeltaNet() {
    AttentionShape shape = AttentionShape.of(1, 2, 130, 8);
    Tensors inputs = Inputs.of(new DeltaNet(), shape, 5);
    Tensor zero = Draws.constant(0, 1, 2, 130);
    requireClose(
        Forward.of(new DeltaNet(), Mask.causal(), inputs),
        Forward.of(attention(), Mask.causal(), inputs.with("log_decay", zero)),
        "out");
  }

  /// With orthonormal keys there is nothing to erase: what remains is a gated sum of β v.
  @Test
  void orthonormalKeysAreMamba2OfWeightedValues() {
    AttentionShape shape = AttentionShape.of(1, 1, 70, 70);
    Tensor keys = Tensor.zeros(1, 1, 70, 70);
    for (int t = 0; t < 70; t++) {
      keys.data()[t * 70 + (t * 3) % 70] = 1;
    }
    Tensors inputs = Inputs.of(attention(), shape, 6).with("k", keys);
    Tensor values = inputs.get("v").copy();
    Tensor queries = inputs.get("q").copy();
    for (int e = 0; e < values.size(); e++) {
      values.data()[e] *= inputs.get("beta").data()[e / 70];
      queries.data()[e] /= (float) Math.sqrt(70);
    }
    Tensors sum = Tensors.qkv(queries, keys, values).with("log_decay", inputs.get("log_decay"));
    requireClose(
        Forward.of(new Mamba2Ssd(), Mask.causal(), sum),
        Forward.of(attention(), Mask.causal(), inputs),
        "out");
  }

  @Test
  void closedGateRestartsTheState() {
    AttentionShape shape = AttentionShape.of(1, 1, 90, 4);
    Tensors inputs = Inputs.of(attention(), shape, 7);
    Tensor gates = inputs.get("log_decay").copy();
    gates.data()[70] = Float.NEGATIVE_INFINITY;
    Tensor whole = Forward.of(attention(), Mask.causal(), inputs.with("log_decay", gates));
    Tensors rest = part(shape, inputs, 70, 90);
    requireClose(Forward.of(attention(), Mask.causal(), rest), rows(whole, 70, 90), "rest");
  }

  /// Differences of the cumulative gates would overflow above the diagonal, were they
  /// exponentiated.
  @Test
  void strongGatesStayFinite() {
    AttentionShape shape = AttentionShape.of(1, 1, 130, 8);
    Tensors inputs =
        Inputs.of(attention(), shape, 8).with("log_decay", Draws.constant(-9, 1, 1, 130));
    double[] expected =
        recurrence(attention(), shape, inputs).run(shape, Mask.causal(), inputs).out();
    requireClose(expected, Forward.of(attention(), Mask.causal(), inputs), "out");
  }

  @Test
  void scaleIsAFactorOfTheOutput() {
    AttentionShape shape = AttentionShape.of(1, 1, 40, 16);
    Tensors inputs = Inputs.of(attention(), shape, 9);
    Tensor one = Forward.of(new GatedDeltaNet(OptionalDouble.of(1)), Mask.causal(), inputs);
    for (int e = 0; e < one.size(); e++) {
      one.data()[e] /= 4;
    }
    requireClose(one, Forward.of(attention(), Mask.causal(), inputs), "a quarter, 1/√16");
  }
}
