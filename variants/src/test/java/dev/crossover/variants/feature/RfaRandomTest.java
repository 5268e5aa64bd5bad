package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.RandomCases;
import dev.crossover.variants.feature.Rfa.Kernel;
import dev.crossover.variants.feature.Rfa.Projection;
import dev.crossover.variants.feature.Rfa.Variant;
import org.junit.jupiter.api.Test;

/// Random feature attention under every option, against its quadratic definition.
class RfaRandomTest {
  /// Signed features: a sum of weights is smaller than the weights, which magnifies rounding
  /// errors.
  private static final double TOLERANCE = 2e-4;

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(
        100,
        1,
        TOLERANCE,
        r -> {
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
        },
        RfaRandomTest::expected);
  }

  private static double[] expected(
      Attention attention, AttentionShape shape, Mask mask, Tensors inputs) {
    Rfa rfa = (Rfa) attention;
    boolean code = rfa.variant() == Variant.CODE;
    double[][] queries = features(rfa, inputs, "q");
    double[][] keys = features(rfa, inputs, "k");
    return Oracle.normalised(
        shape,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int head = b * shape.numHeads() + h;
          double[] x = queries[head * shape.querySeqLen() + i];
          double[] y = keys[head * shape.keySeqLen() + j];
          double weight = 0;
          for (int a = 0; a < x.length; a++) {
            weight += x[a] * y[a];
          }
          return rfa.gated() ? weight * gate(inputs.get("gate"), head, i, j) : weight;
        },
        sum -> code ? Math.max(mask.isCausal() ? sum : Math.abs(sum), 1) : sum);
  }

  /// `(1 − g_j) g_(j+1) … g_i`, padded positions among them.
  private static double gate(Tensor gate, int head, int i, int j) {
    int first = head * gate.extent(2);
    double weight = 1 - gate.data()[first + j];
    for (int l = j + 1; l <= i; l++) {
      weight *= gate.data()[first + l];
    }
    return weight;
  }

  private static double[][] features(Rfa rfa, Tensors inputs, String name) {
    Tensor x = inputs.get(name);
    int d = x.extent(3);
    int m = rfa.numFeatures();
    boolean code = rfa.variant() == Variant.CODE;
    double[][] features = new double[x.size() / d][];
    for (int row = 0; row < features.length; row++) {
      int head = row / x.extent(2) % x.extent(1);
      double norm = 0;
      for (int c = 0; c < d; c++) {
        norm += (double) x.data()[row * d + c] * x.data()[row * d + c];
      }
      double length = Math.sqrt(norm) + (code ? 1e-3 : 0);
      double factor = code ? 0.1 : 1 / Math.sqrt(m);
      double[] phi = new double[rfa.kernel() == Kernel.GAUSSIAN ? 2 * m : m];
      for (int a = 0; a < m; a++) {
        double u = 0;
        for (int c = 0; c < d; c++) {
          double sigma = inputs.has("sigma") ? inputs.get("sigma").data()[head * d + c] : 1;
          double w = inputs.get("random_projection").data()[(head * m + a) * d + c];
          u += sigma * w / rfa.tau() * x.data()[row * d + c] / length;
        }
        if (rfa.kernel() == Kernel.GAUSSIAN) {
          phi[a] = factor * Math.sin(u);
          phi[m + a] = factor * Math.cos(u);
        } else {
          phi[a] = factor * Math.max(u, 0);
        }
      }
      features[row] = phi;
    }
    return features;
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
    double[][] keys = features(rfa, inputs, "k");
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
