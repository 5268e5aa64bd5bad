// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.variants.feature.Performer.Kernel;
import dev.crossover.variants.feature.Performer.Projection;
import dev.crossover.variants.feature.Performer.QrSign;
import dev.crossover.variants.feature.Performer.Stabiliser;
import java.util.Arrays;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

/// Performer on queries and keys whose norms are those of trained models: what its two constants do
/// there is the algorithm's doing, not float32's.
class PerformerPeakedInputTest {
  private static final int N = 64;
  private static final int D = 64;
  private static final double S = 1e-6;
  private static final AttentionShape SHAPE = AttentionShape.of(1, 1, N, D);

  /// |x|²/(2√d) is about 16 with elements of deviation 2: features are at most e⁻¹⁶ = 1.1e-7, a
  /// tenth of eps.
  private static Tensors peaked() {
    return Tensors.qkv(
            Draws.gaussian(1, 2.0, 1, 1, N, D),
            Draws.gaussian(2, 2.0, 1, 1, N, D),
            Draws.constant(1, 1, 1, N, D))
        .with("random_projection", Draws.gaussian(3, 256, D));
  }

  private static Performer performer(double eps, double stabiliser) {
    return new Performer(
        Kernel.SOFTMAX_POSITIVE,
        256,
        OptionalDouble.of(eps),
        OptionalDouble.of(stabiliser),
        Projection.IID,
        QrSign.FIXED,
        Stabiliser.RUNNING,
        42);
  }

  /// In double precision by the definition: the sum of a row's weights over what it is divided by.
  private static double[] rowSums(Performer performer, double stabiliser) {
    PerformerOracle oracle = new PerformerOracle(performer, SHAPE, Mask.causal(), peaked());
    double[] sums = new double[N];
    for (int i = 0; i < N; i++) {
      double sum = 0;
      for (int j = 0; j <= i; j++) {
        sum += oracle.weight(0, 0, i, j);
      }
      sums[i] = sum / (Math.abs(sum) <= stabiliser ? sum + 2 * stabiliser : sum);
    }
    return sums;
  }

  /// With values of one the output is the sum of the row's weights. Float32 features err by a few
  /// units of 2⁻²⁴ times the exponents, up to 60: 1e-4 of the sum is generous.
  @Test
  void rowsOfLargeNormSumToNearlyNothing() {
    Performer performer = performer(1e-6, S);
    double[] expected = rowSums(performer, S);
    Tensor out = Forward.of(performer, Mask.causal(), peaked());
    for (int i = 0; i < N; i++) {
      assertEquals(expected[i], out.data()[i * D], 1e-4 * expected[i], "row " + i);
    }
    double[] sorted = expected.clone();
    Arrays.sort(sorted);
    assertTrue(sorted[N / 2] < 1e-2, "median row sum " + sorted[N / 2]);
  }

  @Test
  void withoutStabiliserRowsSumToOne() {
    for (double eps : new double[] {1e-6, 0}) {
      Tensor out = Forward.of(performer(eps, 0), Mask.causal(), peaked());
      for (int i = 0; i < N; i++) {
        assertEquals(1, out.data()[i * D], 1e-5, "eps " + eps + ", row " + i);
      }
    }
  }

  /// Without both constants weights are those of the definition in double precision, still far from
  /// softmax: one positive feature has the relative variance exp(|q + k|²/√d), here e⁶⁴ and not
  /// 256.
  @Test
  void varianceIsWhatIsLeftWithoutTheConstants() {
    Performer performer = performer(0, 0);
    PerformerOracle oracle = new PerformerOracle(performer, SHAPE, Mask.none(), peaked());
    Tensors inputs = peaked();
    Tensor v = Draws.gaussian(4, 1, 1, N, D);
    double[] expected = Oracle.normalised(SHAPE, Mask.none(), v, oracle::weight, 0);
    Tensor out = Forward.of(performer, Mask.none(), inputs.with("v", v));
    assertTrue(Forward.maxDifference(expected, out) < 1e-3);
    double[] softmax =
        Oracle.softmax(SHAPE, Mask.none(), inputs.get("q"), inputs.get("k"), v, 0.125, null);
    double error = 0;
    double norm = 0;
    for (int e = 0; e < softmax.length; e++) {
      error += Math.pow(expected[e] - softmax[e], 2);
      norm += softmax[e] * softmax[e];
    }
    assertTrue(error > 0.5 * norm, "relative error " + Math.sqrt(error / norm));
  }

  /// With elements of deviation 3.5 |x|²/(2√d) is about 49: products of features as the definition
  /// has them are at most e⁻⁹⁸, below what single precision holds. Without constants these factors
  /// cancel.
  @Test
  void largestNormsDoNotVanishWithoutTheConstants() {
    Tensors inputs =
        Tensors.qkv(
                Draws.gaussian(1, 3.5, 1, 1, N, D),
                Draws.gaussian(2, 3.5, 1, 1, N, D),
                Draws.gaussian(4, 1, 1, N, D))
            .with("random_projection", Draws.gaussian(3, 256, D));
    for (Mask mask : new Mask[] {Mask.none(), Mask.causal()}) {
      Performer performer = performer(0, 0);
      PerformerOracle oracle = new PerformerOracle(performer, SHAPE, mask, inputs);
      double[] expected = Oracle.normalised(SHAPE, mask, inputs.get("v"), oracle::weight, 0);
      Tensor out = Forward.of(performer, mask, inputs);
      assertTrue(Forward.maxDifference(expected, out) < 1e-3, mask.toString());
    }
  }
}
