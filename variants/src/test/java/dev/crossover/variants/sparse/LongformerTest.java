// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LongformerTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Longformer(3);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new Longformer(2, List.of(3)),
        new Longformer(1, List.of(1, 4)),
        new Longformer(200, List.of(1, 40)));
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("global_mask", "q_global", "k_global", "v_global");
  }

  @Override
  public Reference reference() {
    return LongformerTest::expected;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Longformer.class);
  }

  @Test
  void windowCoveringTheSequenceEqualsExact() {
    for (int n : new int[] {1, 9, 70, 200}) {
      AttentionShape shape = AttentionShape.of(2, 2, n, 8);
      Attention wide = new Longformer(Math.max(1, n - 1));
      Tensors inputs = wide.adapt(shape, Tensors.NONE, 5);
      for (Mask mask : List.of(Mask.none(), Mask.causal())) {
        SparseRuns.requireClose(
            SparseRuns.run(new Tiled(), shape, mask, inputs),
            SparseRuns.run(wide, shape, mask, inputs),
            "n = " + n);
      }
    }
  }

  @Test
  void everyTokenGlobalEqualsExactWithTheGlobalProjections() {
    AttentionShape shape = AttentionShape.of(2, 2, 75, 8);
    Attention attention = attention();
    Tensors qkv = attention.adapt(shape, Tensors.NONE, 6);
    Tensors others = attention.adapt(shape, Tensors.NONE, 7);
    Tensors inputs =
        qkv.with("global_mask", Draws.constant(1, 2, 75))
            .with("q_global", others.get("q"))
            .with("k_global", others.get("k"))
            .with("v_global", others.get("v"));
    for (Mask mask : List.of(Mask.none(), Mask.causal())) {
      SparseRuns.requireClose(
          SparseRuns.run(new Tiled(), shape, mask, others),
          SparseRuns.run(attention, shape, mask, inputs),
          mask.label());
    }
  }

  @Test
  void globalProjectionsDefaultToTheLocalOnes() {
    AttentionShape shape = AttentionShape.of(1, 2, 40, 8);
    Attention attention = attention();
    Tensors qkv = attention.adapt(shape, Tensors.NONE, 8);
    Tensor mask = Tensor.zeros(1, 40);
    mask.data()[7] = 1;
    mask.data()[38] = 1;
    Tensors absent = qkv.with("global_mask", mask);
    Tensors given =
        absent
            .with("q_global", qkv.get("q"))
            .with("k_global", qkv.get("k"))
            .with("v_global", qkv.get("v"));
    assertEquals(
        0,
        SparseRuns.largestDifference(
            SparseRuns.run(attention, shape, Mask.none(), given),
            SparseRuns.run(attention, shape, Mask.none(), absent)));
  }

  @Test
  void scatteredGlobalTokensAgreeWithTheDefinition() {
    int n = 301;
    AttentionShape shape = AttentionShape.of(2, 3, n, 8);
    Attention attention = new Longformer(9, List.of(1, 2, 5));
    Tensors inputs = attention.adapt(shape, Tensors.NONE, 9);
    Tensor mask = Tensor.zeros(2, n);
    for (int j = 0; j < n; j += 1 + j % 4) {
      mask.data()[n + j] = 1;
    }
    mask.data()[17] = 1;
    inputs = inputs.with("global_mask", mask);
    for (Mask order : List.of(Mask.none(), Mask.causal(), Mask.lengths(n, 300, 211))) {
      SparseRuns.requireClose(
          expected(attention, shape, order, inputs),
          SparseRuns.run(attention, shape, order, inputs),
          order.label());
    }
  }

  @Test
  void windowIsARadiusAndCountsTheQueryItself() {
    int n = 12;
    AttentionShape shape = AttentionShape.of(1, 1, n, 4);
    Tensor zero = Tensor.zeros(1, 1, n, 4);
    Tensor value = Tensor.zeros(1, 1, n, 4);
    for (int j = 0; j < n; j++) {
      value.data()[j * 4] = 1 << j;
    }
    Tensors inputs = Tensors.qkv(zero, zero, value);
    float centre = SparseRuns.run(new Longformer(2), shape, Mask.none(), inputs).data()[5 * 4];
    assertEquals((8 + 16 + 32 + 64 + 128) / 5f, centre, 1e-4f, "keys 3 to 7, equal weights");
    float last = SparseRuns.run(new Longformer(2), shape, Mask.causal(), inputs).data()[5 * 4];
    assertEquals((8 + 16 + 32) / 3f, last, 1e-4f, "keys 3 to 5, equal weights");
  }

  @Test
  void decodingStateStopsGrowingOnceTheWindowIsFull() {
    AttentionShape shape = AttentionShape.of(1, 2, 100, 8);
    var session = new Longformer(3, List.of(2)).decode(shape);
    AttentionShape one = shape.withSeqLens(1, 1);
    Tensor out = Tensor.zeros(1, 2, 1, 8);
    long full = 2L * (3 * 2 + 1) * (8 + 8) * Float.BYTES;
    for (int t = 0; t < 100; t++) {
      session.step(attention().adapt(one, Tensors.NONE, t), out);
      assertTrue(session.stateBytes() <= full);
    }
    assertEquals(full, session.stateBytes());
  }

  @Test
  void dilationsForAnotherNumberOfHeadsAreRefused() {
    Attention attention = new Longformer(2, List.of(1, 2, 3));
    AttentionShape shape = AttentionShape.of(1, 2, 8, 4);
    var error =
        assertThrows(IllegalArgumentException.class, () -> attention.plan(shape, Mask.none(), 1));
    assertTrue(error.getMessage().contains("dilation must be"), error.getMessage());
    assertThrows(IllegalArgumentException.class, () -> new Longformer(0));
    assertThrows(IllegalArgumentException.class, () -> new Longformer(1, List.of(0)));
    assertThrows(IllegalArgumentException.class, () -> new Longformer(1, List.of()));
  }

  /// Section 1 of the specification, one pair at a time.
  static double[] expected(Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Longformer longformer = (Longformer) attention;
    int n = shape.keySeqLen();
    Tensor global =
        inputs.has("global_mask") ? inputs.get("global_mask") : Tensor.zeros(shape.batchSize(), n);
    double[] local =
        Oracle.softmax(
            shape,
            mask,
            inputs.get("v"),
            (b, h, i, j) -> {
              List<Integer> steps = longformer.dilation();
              int step = steps.get(steps.size() == 1 ? 0 : h);
              boolean near =
                  (i - j) % step == 0 && Math.abs(i - j) <= (long) longformer.window() * step;
              return near || global.data()[b * n + j] != 0
                  ? Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j)
                      / Math.sqrt(shape.headDim())
                  : Double.NEGATIVE_INFINITY;
            });
    Tensor q = inputs.get(inputs.has("q_global") ? "q_global" : "q");
    Tensor k = inputs.get(inputs.has("k_global") ? "k_global" : "k");
    Tensor v = inputs.get(inputs.has("v_global") ? "v_global" : "v");
    double scale = 1 / Math.sqrt(shape.headDim());
    double[] wide = Oracle.softmax(shape, mask, q, k, v, scale, null);
    int dv = shape.valueDim();
    for (int e = 0; e < local.length; e++) {
      int b = e / (shape.numHeads() * n * dv);
      int i = e / dv % n;
      if (!mask.isRealKey(b, i)) {
        local[e] = 0;
      } else if (global.data()[b * n + i] != 0) {
        local[e] = wide[e];
      }
    }
    return local;
  }

  @Test
  void anySettingShapeAndMaskAgreesWithTheDefinition() {
    RandomCases.checkThoroughly(150, 25, LongformerTest::drawn, LongformerTest::expected);
  }

  @Test
  void gradientsAgreeWithDifferencesOnRandomProblems() {
    RandomGradients.check(
        60, 31, RandomCases.TOLERANCE, LongformerTest::drawn, LongformerTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    AttentionShape shape = r.shape(new Longformer(1));
    List<Integer> dilation = r.list(r.chance(2) ? 1 : shape.numHeads(), one -> one.from(1, 5));
    Longformer longformer = new Longformer(r.chance(8) ? 200 : r.from(1, 9), dilation);
    return r.problem(longformer, shape)
        .changed(
            inputs -> {
              Tensor global = Tensor.zeros(shape.batchSize(), shape.keySeqLen());
              int rarity = r.from(1, 12);
              for (int j = 0; j < global.size(); j++) {
                global.data()[j] = r.chance(rarity) ? 1 : 0;
              }
              return inputs.has("global_mask") ? inputs.with("global_mask", global) : inputs;
            });
  }
}
