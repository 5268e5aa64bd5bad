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
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import dev.crossover.variants.feature.Hedgehog.MapKind;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class HedgehogTest extends AttentionContract {
  private static Hedgehog hedgehog(MapKind map) {
    return new Hedgehog(map, OptionalInt.of(6), 1e-12, 1e-6);
  }

  @Override
  public Attention attention() {
    return hedgehog(MapKind.SOFTMAX_HALVES);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), hedgehog(MapKind.EXP_HALVES), hedgehog(MapKind.SOFTMAX_JOINT2));
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> {
      Hedgehog hedgehog = (Hedgehog) attention;
      double[][] queries = features(hedgehog, inputs.get("q"), inputs.get("w_q"));
      double[][] keys = features(hedgehog, inputs.get("k"), inputs.get("w_k"));
      return Oracle.normalised(
          shape,
          mask,
          inputs.get("v"),
          (b, h, i, j) -> {
            double[] x = queries[shape.queryOffset(b, h) / shape.headDim() + i];
            double[] y = keys[shape.keyOffset(b, h) / shape.headDim() + j];
            double weight = 0;
            for (int a = 0; a < x.length; a++) {
              weight += x[a] * y[a];
            }
            return weight;
          },
          hedgehog.eps());
    };
  }

  /// Features of every row of `[batch, heads, n, d]`.
  private static double[][] features(Hedgehog hedgehog, Tensor x, Tensor w) {
    int d = x.extent(3);
    double[][] features = new double[x.size() / d][];
    for (int row = 0; row < features.length; row++) {
      int head = row / x.extent(2) % x.extent(1);
      features[row] = features(hedgehog, x, row * d, w, head, d);
    }
    return features;
  }

  private static double[] features(Hedgehog hedgehog, Tensor x, int at, Tensor w, int head, int d) {
    int f = w.extent(2);
    double[] phi = new double[2 * f];
    double factor = hedgehog.featureMap() == MapKind.SOFTMAX_JOINT2 ? 2 : 1;
    for (int a = 0; a < f; a++) {
      for (int c = 0; c < d; c++) {
        phi[a] += factor * x.data()[at + c] * w.data()[(head * d + c) * f + a];
      }
      phi[f + a] = -phi[a];
    }
    double[] max = {-1e300, -1e300};
    double[] sum = new double[2];
    for (int a = 0; a < 2 * f; a++) {
      max[a / f] = Math.max(max[a / f], phi[a]);
    }
    if (hedgehog.featureMap() == MapKind.SOFTMAX_JOINT2) {
      max[0] = Math.max(max[0], max[1]);
      max[1] = max[0];
    }
    for (int a = 0; a < 2 * f; a++) {
      phi[a] = Math.exp(phi[a] - (hedgehog.featureMap() == MapKind.EXP_PLAIN ? 0 : max[a / f]));
      sum[a / f] += phi[a];
    }
    for (int a = 0; a < 2 * f; a++) {
      double by =
          switch (hedgehog.featureMap()) {
            case SOFTMAX_HALVES -> sum[a / f];
            case SOFTMAX_JOINT2 -> sum[0] + sum[1];
            default -> 1;
          };
      phi[a] = Math.max(phi[a] / by, hedgehog.featureClamp());
    }
    return phi;
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(100, 1, HedgehogTest::problem, reference());
  }

  /// With bounds so high that many features lie at them.
  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(60, 2, 5e-5, HedgehogTest::problem, reference());
  }

  private static RandomCases.Problem problem(RandomCases r) {
    return r.problem(
            new Hedgehog(
                r.of(MapKind.values()),
                r.chance(2) ? OptionalInt.empty() : OptionalInt.of(r.from(1, 14)),
                r.of(0.0, 1e-12, 0.05),
                r.of(1e-6, 1e-2)))
        .changed(inputs -> r.blurred(inputs, "w_q", "w_k"));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Hedgehog.class);
  }

  @Test
  void plainExponentialsEqualTheirDefinition() {
    AttentionShape shape = AttentionShape.of(1, 2, 20, 6);
    Tensors inputs = qkv(20);
    Hedgehog plain = hedgehog(MapKind.EXP_PLAIN);
    Tensors all = inputs;
    for (var spec : plain.inputs(shape).subList(3, 5)) {
      all = all.with(spec.name(), spec.drawn(1));
    }
    double[] expected = reference().out(plain, shape, Mask.causal(), all);
    Tensor out = Forward.of(plain, Mask.causal(), inputs);
    assertTrue(Forward.maxDifference(expected, out) < 2e-5);
  }

  /// One feature: both halves of exp_halves and of softmax_halves are 1, so that all keys weigh
  /// alike, while the paper's exponentials keep the keys apart.
  @Test
  void rowFactorsCancelForQueriesButNotForKeys() {
    Tensor q = Draws.constant(1, 1, 1, 3, 1);
    Tensor k = Tensor.of(new float[] {0, 1, 2}, 1, 1, 3, 1);
    Tensor v = Tensor.of(new float[] {0, 0, 1}, 1, 1, 3, 1);
    Tensors inputs = Tensors.qkv(q, k, v);
    double cosh = Math.cosh(3) / (Math.cosh(1) + Math.cosh(2) + Math.cosh(3));
    Hedgehog paper = new Hedgehog(MapKind.EXP_PLAIN, OptionalInt.empty(), 0, 1e-12);
    assertEquals(cosh, Forward.of(paper, Mask.none(), inputs).data()[0], 1e-6);
    for (MapKind map : List.of(MapKind.EXP_HALVES, MapKind.SOFTMAX_HALVES)) {
      Hedgehog stabilised = new Hedgehog(map, OptionalInt.empty(), 1e-12, 1e-12);
      assertEquals(1 / 3.0, Forward.of(stabilised, Mask.none(), inputs).data()[0], 1e-6);
    }
  }

  @Test
  void zeroMapsGiveTheRunningMean() {
    Tensors inputs = qkv(70).with("w_q", Tensor.zeros(2, 6, 6)).with("w_k", Tensor.zeros(2, 6, 6));
    for (MapKind map : MapKind.values()) {
      Tensor out = Forward.of(hedgehog(map), Mask.causal(), inputs);
      double sum = 0;
      for (int i = 0; i < 70; i++) {
        sum += inputs.get("v").data()[i * 6];
        assertEquals(sum / (i + 1), out.data()[i * 6], 5e-6, map + ", row " + i);
      }
    }
  }

  @Test
  void badParametersAreRefusedByName() {
    assertThrows(
        IllegalArgumentException.class,
        () -> new Hedgehog(MapKind.EXP_PLAIN, OptionalInt.of(0), 0, 0));
    assertThrows(
        IllegalArgumentException.class,
        () -> new Hedgehog(MapKind.EXP_PLAIN, OptionalInt.empty(), Double.NaN, 0));
  }

  private static Tensors qkv(int n) {
    return Tensors.qkv(
        Draws.gaussian(1, 1, 2, n, 6),
        Draws.gaussian(2, 1, 2, n, 6),
        Draws.gaussian(3, 1, 2, n, 6));
  }
}
