// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import java.util.List;
import java.util.Map;
import java.util.OptionalDouble;
import org.junit.jupiter.api.Test;

/// Retention as in the authors' code: rotated, with normalised scores and outputs.
class RetNetNormalisedTest extends AttentionContract {
  private static final double EPS = 1e-6;

  @Override
  public Attention attention() {
    return normalised(RetNet.Rotary.NONE);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), normalised(RetNet.Rotary.INTERLEAVED), RetNetTest.ROTARY);
  }

  private static RetNet normalised(RetNet.Rotary rotary) {
    return new RetNet(OptionalDouble.empty(), rotary, RetNet.Normalisation.SCORES_AND_RMS, EPS);
  }

  @Override
  public int[] headDims() {
    return new int[] {2, 6, 20, 34};
  }

  /// Normalising divides by sums over a row: rounding is relative to the row, not to 1.
  @Override
  public double tolerance() {
    return 5e-5;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(
        Claim.VALUE_COLUMNS_INDEPENDENT, "the root mean square of a row joins its columns");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        attention.capabilities().decoding()
                || ((RetNet) attention).rotary() == RetNet.Rotary.INTERLEAVED
            ? new double[0]
            : parallel(shape, mask, inputs);
  }

  /// Rotated settings too. It differentiates the sums of absolute values, which are constants in
  /// the backward pass: the root mean square removes what they change but for eps, far below
  /// tolerance.
  @Override
  public Reference gradientReference() {
    return RetNetRandomTest::expected;
  }

  /// The authors' parallel form, step by step.
  private static double[] parallel(AttentionShape s, Mask mask, Tensors inputs) {
    int n = s.querySeqLen();
    int dv = s.valueDim();
    double[] out = new double[s.problems() * n * dv];
    for (int p = 0; p < s.problems(); p++) {
      int b = p / s.numHeads();
      int h = p % s.numHeads();
      double gamma = inputs.get("decay").data()[h];
      for (int i = 0; i < n; i++) {
        double decays = 0;
        double weights = 0;
        double[] row = new double[dv];
        for (int j = 0; j <= i; j++) {
          decays += Math.pow(gamma, i - j);
        }
        for (int j = 0; j <= i; j++) {
          if (Oracle.sees(s, mask, b, i, j)) {
            double score = Oracle.dot(s, inputs.get("q"), inputs.get("k"), b, h, i, j);
            double weight =
                score / Math.sqrt(s.headDim()) * Math.pow(gamma, i - j) / Math.sqrt(decays);
            weights += Math.abs(weight);
            for (int c = 0; c < dv; c++) {
              row[c] += weight * inputs.get("v").data()[(p * n + j) * dv + c];
            }
          }
        }
        double square = 0;
        for (int c = 0; c < dv; c++) {
          row[c] /= Math.clamp(weights, 1, 5e4);
          square += row[c] * row[c] / dv;
        }
        for (int c = 0; c < dv; c++) {
          out[(p * n + i) * dv + c] = row[c] / Math.sqrt(square + EPS);
        }
      }
    }
    return out;
  }

  @Test
  void normalisedRowsHaveUnitMeanSquare() {
    AttentionShape shape = AttentionShape.of(1, 1, 100, 8).withValueDim(12);
    Tensors inputs = Inputs.of(attention(), shape, 1);
    Tensor out = Forward.of(attention(), Mask.causal(), inputs);
    Tensor plain = Forward.of(new RetNet(), Mask.causal(), inputs);
    for (int i = 20; i < 100; i++) {
      double square = 0;
      double plainSquare = 0;
      for (int c = 0; c < 12; c++) {
        square += Math.pow(out.data()[i * 12 + c], 2) / 12;
        plainSquare += Math.pow(plain.data()[i * 12 + c], 2) / 12;
      }
      assertEquals(1, square, 1e-2, "row " + i);
      double ratio = plain.data()[i * 12] / Math.sqrt(plainSquare);
      assertEquals(ratio, out.data()[i * 12], 1e-2, "direction of row " + i);
    }
  }
}
