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
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.Map;
import java.util.stream.IntStream;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LinearTransformerTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new LinearTransformer();
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        sums(shape, mask, inputs).out(sum -> sum + ((LinearTransformer) attention).eps());
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "final_state",
        (_, shape, mask, inputs) -> sums(shape, mask, inputs).finalState(),
        "final_normaliser",
        (_, shape, mask, inputs) -> sums(shape, mask, inputs).finalNormaliser());
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("initial_state", "initial_normaliser");
  }

  private static LinearSums sums(AttentionShape shape, Mask mask, Tensors inputs) {
    LinearSums.Features phi =
        (x, at, _, _) ->
            IntStream.range(at, at + shape.headDim()).mapToDouble(c -> phi(x[c])).toArray();
    return new LinearSums(shape, mask, inputs, phi, phi);
  }

  private static double phi(double x) {
    return x > 0 ? x + 1 : Math.exp(x);
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        60,
        1,
        r ->
            r.problem(
                    new LinearTransformer(
                        LinearTransformer.MapKind.ELU_PLUS_ONE,
                        r.of(1e-6, 0.0, 0.5, r.between(0, 1))))
                .changed(inputs -> Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"))),
        reference());
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(
        60,
        2,
        2e-5,
        r ->
            r.problem(
                    new LinearTransformer(
                        LinearTransformer.MapKind.ELU_PLUS_ONE,
                        r.of(1e-6, 0.0, 0.5, r.between(0, 1))))
                .changed(LinearTransformerTest::withBothOrNone),
        reference());
  }

  /// The initial sums belong together.
  private static Tensors withBothOrNone(Tensors inputs) {
    boolean both = inputs.has("initial_state") && inputs.has("initial_normaliser");
    return both ? inputs : Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"));
  }

  /// Sequences with several segments and a state that is not the first.
  @Test
  void gradientsOverSeveralSegmentsAgreeWithDifferences() {
    AttentionShape shape = new AttentionShape(1, 1, 1, 1100, 1200, 3, 3, 2);
    for (Mask mask : new Mask[] {Mask.none(), Mask.causal(), Mask.causal(-100)}) {
      Tensors inputs =
          Inputs.of(attention(), shape, 3, List.of("initial_state", "initial_normaliser"));
      assertTrue(
          GradientDifferences.compare(
              attention(), shape, mask, inputs, reference(), resultReferences(), 2e-5, 4));
    }
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(LinearTransformer.class);
  }

  /// Lengths with many chunks in several segments: the oracle knows of neither.
  @Test
  void manySegmentsEqualTheQuadraticForm() {
    AttentionShape shape = AttentionShape.of(1, 1, 2500, 4);
    Tensors inputs = qkv(1, shape);
    for (Mask mask : new Mask[] {Mask.none(), Mask.causal(), Mask.causal(-700)}) {
      double[] expected = reference().out(new LinearTransformer(), shape, mask, inputs);
      Tensor out = Forward.of(new LinearTransformer(), mask, inputs);
      assertTrue(Forward.maxDifference(expected, out) < 2e-5, mask.toString());
    }
  }

  @Test
  void prefixThenSavedStateReproducesTheFullRun() {
    AttentionShape shape = AttentionShape.of(2, 2, 150, 8);
    Tensors inputs = qkv(2, shape);
    Tensor whole = Tensor.zeros(attention().outputShape(shape));
    Tensors states = run(shape, inputs, Mask.causal(), whole);
    for (int cut : new int[] {1, 64, 100}) {
      AttentionShape before = shape.withSeqLens(cut, cut);
      Tensor ignored = Tensor.zeros(attention().outputShape(before));
      Tensors saved = run(before, rows(inputs, 0, cut), Mask.causal(), ignored);
      AttentionShape after = shape.withSeqLens(150 - cut, 150 - cut);
      Tensors rest =
          rows(inputs, cut, 150)
              .with("initial_state", saved.get("final_state"))
              .with("initial_normaliser", saved.get("final_normaliser"));
      Tensor out = Tensor.zeros(attention().outputShape(after));
      Tensors last = run(after, rest, Mask.causal(), out);
      assertTrue(Forward.maxDifference(rows(whole, cut, 150), out) < 2e-6);
      double scale = 150 * 4;
      assertTrue(
          Forward.maxDifference(states.get("final_state"), last.get("final_state")) < 1e-6 * scale);
      assertTrue(
          Forward.maxDifference(states.get("final_normaliser"), last.get("final_normaliser"))
              < 1e-6 * scale);
    }
  }

  @Test
  void equalKeysGiveTheMeanOfTheValues() {
    Tensor q = Draws.gaussian(1, 1, 1, 70, 6);
    Tensor k = Draws.constant(0.3, 1, 1, 70, 6);
    Tensor v = Draws.gaussian(2, 1, 1, 70, 6);
    Tensor out = Forward.of(new LinearTransformer(), Mask.none(), Tensors.qkv(q, k, v));
    for (int c = 0; c < 6; c++) {
      double mean = 0;
      for (int j = 0; j < 70; j++) {
        mean += v.data()[j * 6 + c] / 70.0;
      }
      for (int i = 0; i < 70; i++) {
        assertEquals(mean, out.data()[i * 6 + c], 1e-6);
      }
    }
  }

  @Test
  void weightsAreConvexSoThatConstantValuesReturnThemselves() {
    Tensor q = Draws.gaussian(1, 1, 2, 130, 5);
    Tensor k = Draws.gaussian(2, 1, 2, 130, 5);
    Tensor v = Draws.constant(3, 1, 2, 130, 5);
    for (Mask mask : new Mask[] {Mask.none(), Mask.causal()}) {
      Tensor out = Forward.of(new LinearTransformer(), mask, Tensors.qkv(q, k, v));
      assertTrue(Forward.maxDifference(v, out) < 1e-5, mask.label());
    }
  }

  @Test
  void epsMattersOnlyWhereAllFeaturesAreTiny() {
    LinearTransformer paper = new LinearTransformer(LinearTransformer.MapKind.ELU_PLUS_ONE, 0);
    LinearTransformer code = new LinearTransformer();
    Tensor v = Draws.constant(1, 1, 1, 1, 4);
    Tensor tiny = Draws.constant(-7.5, 1, 1, 1, 4);
    double x = 4 * Math.exp(-15);
    Tensors underflowing = Tensors.qkv(tiny, tiny, v);
    assertEquals(1, Forward.of(paper, Mask.none(), underflowing).data()[0], 1e-5);
    assertEquals(x / (x + 1e-6), Forward.of(code, Mask.none(), underflowing).data()[0], 1e-5);
    Tensor usual = Draws.gaussian(1, 1, 1, 1, 4);
    Tensors ordinary = Tensors.qkv(usual, usual, v);
    assertEquals(1, Forward.of(code, Mask.none(), ordinary).data()[0], 2e-6);
  }

  /// Equal tokens make rounding errors equal too, so that they add up instead of cancelling: plain
  /// float32 sums of 2²⁰ outer products would be off by 2 %. What remains is one rounding, at most
  /// 2⁻²⁴, for each of the 64 keys of a chunk and each of the 64 segments.
  @Test
  void millionPositionsKeepTheirPrecision() {
    int n = 1 << 20;
    AttentionShape shape = AttentionShape.of(1, 1, n, 2);
    Tensor x = Draws.constant(0.1, 1, 1, n, 2);
    Tensor v = Draws.constant(0.7, 1, 1, n, 2);
    Tensor out = Tensor.zeros(1, 1, n, 2);
    new LinearTransformer().plan(shape, Mask.causal(), 2).forward(Tensors.qkv(x, x, v), out);
    assertEquals(0.7, out.data()[2 * n - 1], 0.7 * 128 * 0x1p-24);
  }

  @Test
  void negativeEpsIsRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new LinearTransformer(LinearTransformer.MapKind.ELU_PLUS_ONE, -1));
    assertTrue(error.getMessage().contains("eps"), error.getMessage());
  }

  private Tensors run(AttentionShape shape, Tensors inputs, Mask mask, Tensor out) {
    Tensors results = Tensors.NONE;
    for (var spec : attention().results(shape)) {
      results = results.with(spec.name(), Tensor.zeros(spec.shape().toArray()));
    }
    attention().plan(shape, mask, 1).forward(inputs, out, results);
    return results;
  }

  private static Tensors qkv(long seed, AttentionShape s) {
    return Tensors.qkv(
        Draws.gaussian(seed, s.batchSize(), s.numHeads(), s.querySeqLen(), s.headDim()),
        Draws.gaussian(seed + 100, s.batchSize(), s.numHeads(), s.keySeqLen(), s.headDim()),
        Draws.gaussian(seed + 200, s.batchSize(), s.numHeads(), s.keySeqLen(), s.valueDim()));
  }

  private static Tensors rows(Tensors x, int from, int to) {
    return Tensors.qkv(
        rows(x.get("q"), from, to), rows(x.get("k"), from, to), rows(x.get("v"), from, to));
  }

  private static Tensor rows(Tensor x, int from, int to) {
    int n = x.extent(2);
    int d = x.extent(3);
    Tensor part = Tensor.zeros(x.extent(0), x.extent(1), to - from, d);
    for (int head = 0; head < x.extent(0) * x.extent(1); head++) {
      System.arraycopy(
          x.data(), (head * n + from) * d, part.data(), head * (to - from) * d, (to - from) * d);
    }
    return part;
  }
}
