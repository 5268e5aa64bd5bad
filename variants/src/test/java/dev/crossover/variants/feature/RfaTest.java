// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.feature.Rfa.Kernel;
import dev.crossover.variants.feature.Rfa.Projection;
import dev.crossover.variants.feature.Rfa.Variant;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class RfaTest extends AttentionContract {
  private static final Rfa GATED =
      new Rfa(Variant.PAPER, Kernel.GAUSSIAN, 256, 1, true, Projection.REGULAR, 5);

  @Override
  public Attention attention() {
    return new Rfa(Kernel.GAUSSIAN, 256, 5);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new Rfa(Kernel.ARCCOS, 64, 5),
        new Rfa(Variant.CODE, Kernel.GAUSSIAN, 24, 1, false, Projection.IID, 5));
  }

  @Override
  public Reference gradientReference() {
    return RfaOracle::out;
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "final_state", RfaOracle::finalState, "final_normaliser", RfaOracle::finalNormaliser);
  }

  /// Signed features: sums of weights are smaller than the weights, which magnifies rounding
  /// errors.
  @Override
  public double tolerance() {
    return 1e-3;
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Rfa.class);
  }

  /// Whatever stands in place of a gate behind a mask: rows after it are as if nothing had been
  /// forgotten there, and a gate that is one goes on forgetting.
  @Test
  void whatIsNoGateBehindTheMaskForgetsNothing() {
    int n = 40;
    boolean[] real = new boolean[n];
    java.util.Arrays.fill(real, true);
    real[9] = false;
    real[10] = false;
    Mask mask = Mask.both(Mask.causal(), Mask.keys(n, real));
    float[] kept = withGate(mask, 1);
    for (float none : new float[] {Float.NaN, Float.POSITIVE_INFINITY, 3}) {
      org.junit.jupiter.api.Assertions.assertArrayEquals(kept, withGate(mask, none));
    }
    float[] forgetting = withGate(mask, 0.5f);
    assertTrue(forgetting[11 * 8] != kept[11 * 8]);
  }

  private float[] withGate(Mask mask, float padded) {
    Tensor gate = Draws.constant(0.9f, 1, 1, 40);
    gate.data()[9] = padded;
    gate.data()[10] = padded;
    return Forward.of(GATED, mask, qkv(1, 40, 8).with("gate", gate)).data();
  }

  /// One equal key: the gate cancels. A gate near 0 forgets everything but the last token.
  @Test
  void gateNearZeroReturnsTheLastValue() {
    Tensors inputs = qkv(1, 70, 8).with("gate", Draws.constant(1e-7, 1, 1, 70));
    Tensor out = Forward.of(GATED, Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(inputs.get("v"), out) < 1e-4);
  }

  @Test
  void gatedFormEqualsItsQuadraticDefinition() {
    AttentionShape shape = AttentionShape.of(1, 1, 150, 8);
    Tensor gate = Draws.uniform(9, 0.3, 0.99, 1, 1, 150);
    Tensors inputs = qkv(1, 150, 8).with("gate", gate);
    Tensor w = GATED.inputs(shape).get(3).drawn(Draws.seedFor(5, "random_projection"));
    double[] expected =
        Oracle.normalised(
            shape,
            Mask.causal(),
            inputs.get("v"),
            (_, _, i, j) -> {
              double weight = 1 - gate.data()[j];
              for (int l = j + 1; l <= i; l++) {
                weight *= gate.data()[l];
              }
              return weight * kernel(inputs, w, i, j);
            },
            0);
    assertTrue(Forward.maxDifference(expected, Forward.of(GATED, Mask.causal(), inputs)) < 1e-4);
  }

  /// Mean of cos(w·(x̂ − ŷ)) over the rows of w: sin·sin + cos·cos.
  private static double kernel(Tensors inputs, Tensor w, int i, int j) {
    double[] x = unit(inputs.get("q"), i);
    double[] y = unit(inputs.get("k"), j);
    double sum = 0;
    for (int a = 0; a < 256; a++) {
      double u = 0;
      for (int c = 0; c < 8; c++) {
        u += w.data()[a * 8 + c] * (x[c] - y[c]);
      }
      sum += Math.cos(u) / 256;
    }
    return sum;
  }

  private static double[] unit(Tensor x, int row) {
    double[] unit = new double[8];
    double norm = 0;
    for (int c = 0; c < 8; c++) {
      unit[c] = x.data()[row * 8 + c];
      norm += unit[c] * unit[c];
    }
    for (int c = 0; c < 8; c++) {
      unit[c] /= Math.sqrt(norm);
    }
    return unit;
  }

  /// Gates of a head that many segments cut: a causal plan of 10 000 positions against a decoding
  /// session.
  @Test
  void gatedSegmentsEqualDecoding() {
    int n = 2500;
    AttentionShape shape = AttentionShape.of(1, 1, n, 4);
    Rfa rfa = new Rfa(Variant.PAPER, Kernel.ARCCOS, 16, 1, true, Projection.IID, 5);
    Tensors inputs = qkv(1, n, 4).with("gate", Draws.uniform(9, 0.5, 0.99, 1, 1, n));
    Tensor whole = Forward.of(rfa, Mask.causal(), inputs);
    var session = rfa.decode(shape);
    Tensor out = Tensor.zeros(1, 1, 1, 4);
    double largest = 0;
    for (int t = 0; t < n; t++) {
      Tensors token =
          Tensors.qkv(row(inputs.get("q"), t), row(inputs.get("k"), t), row(inputs.get("v"), t))
              .with("gate", Tensor.of(new float[] {inputs.get("gate").data()[t]}, 1, 1, 1));
      session.step(token, out);
      for (int c = 0; c < 4; c++) {
        largest = Math.max(largest, Math.abs(out.data()[c] - whole.data()[t * 4 + c]));
      }
    }
    assertTrue(largest < 1e-4, "largest difference " + largest);
  }

  private static Tensor row(Tensor x, int t) {
    int d = x.extent(3);
    return Tensor.of(java.util.Arrays.copyOfRange(x.data(), t * d, (t + 1) * d), 1, 1, 1, d);
  }

  @Test
  void gatedFinalStateIsThePapersState() {
    int n = 70;
    AttentionShape shape = AttentionShape.of(1, 1, n, 8);
    Tensor gate = Draws.constant(0.5, 1, 1, n);
    Tensors inputs = qkv(1, n, 8).with("gate", gate);
    Tensor normaliser = Tensor.zeros(1, 1, 512);
    AttentionPlan plan = GATED.plan(shape, Mask.causal(), 1);
    plan.forward(
        inputs, Tensor.zeros(1, 1, n, 8), Tensors.NONE.with("final_normaliser", normaliser));
    Tensor w = GATED.inputs(shape).get(3).drawn(Draws.seedFor(5, "random_projection"));
    double expected = 0;
    for (int j = 0; j < n; j++) {
      double[] y = unit(inputs.get("k"), j);
      double u = 0;
      for (int c = 0; c < 8; c++) {
        u += w.data()[c] * y[c];
      }
      expected += Math.pow(0.5, n - j) * Math.sin(u) / 16;
    }
    assertEquals(expected, normaliser.data()[0], 1e-6);
  }

  /// From 64 to 1024 features the error falls by 4, measured within 2.5 to 6.4 as the mean of five
  /// seeds.
  @Test
  void errorAgainstSoftmaxOnUnitVectorsFallsWithTheRootOfTheNumberOfFeatures() {
    double few = error(64);
    double many = error(1024);
    assertTrue(few / many > 2.5 && few / many < 6.4, few + ", " + many);
  }

  private static double error(int features) {
    Tensors inputs = qkv(1, 64, 8);
    double total = 0;
    for (int seed = 0; seed < 5; seed++) {
      Rfa rfa = new Rfa(Kernel.GAUSSIAN, features, seed);
      double[] exact =
          Oracle.softmax(rfa.exactTarget(AttentionShape.of(1, 1, 64, 8), Mask.none(), inputs));
      Tensor out = Forward.of(rfa, Mask.none(), inputs);
      double error = 0;
      for (int e = 0; e < exact.length; e++) {
        error += Math.pow(out.data()[e] - exact[e], 2);
      }
      total += Math.sqrt(error);
    }
    return total / 5;
  }

  /// One key contributes at most 0.01 D: with D = 24 the first row is at most a quarter of its
  /// value.
  @Test
  void codeVariantDampsEarlyRows() {
    Rfa code = new Rfa(Variant.CODE, Kernel.GAUSSIAN, 24, 1, false, Projection.IID, 5);
    Tensors inputs = qkv(1, 1, 8);
    Tensor damped = Forward.of(code, Mask.causal(), inputs);
    Tensor whole = Forward.of(new Rfa(Kernel.GAUSSIAN, 24, 5), Mask.causal(), inputs);
    for (int c = 0; c < 8; c++) {
      double value = inputs.get("v").data()[c];
      assertEquals(value, whole.data()[c], 1e-4);
      assertTrue(Math.abs(damped.data()[c]) <= 0.24 * Math.abs(value) + 1e-6);
    }
  }

  @Test
  void badParametersAreRefusedByName() {
    var error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new Rfa(Variant.CODE, Kernel.ARCCOS, 4, 1, true, Projection.IID, 1));
    assertTrue(error.getMessage().contains("gated"), error.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> new Rfa(Variant.PAPER, Kernel.ARCCOS, 4, 0, false, Projection.IID, 1));
  }

  private static Tensors qkv(long seed, int n, int d) {
    return Tensors.qkv(
        Draws.gaussian(seed, 1, 1, n, d),
        Draws.gaussian(seed + 1, 1, 1, n, d),
        Draws.gaussian(seed + 2, 1, 1, n, d));
  }
}
