// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.error;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.random.OrthogonalDraws;
import dev.crossover.attention.random.OrthogonalDraws.Lengths;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.input.InputSource;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// Performer's error on the captured input is its algorithm's: a twin in double precision, written
/// from the definition, errs alike.
class PerformerOnCapturedInputTest {
  private static final int N = 256;
  private static final int D = 64;
  private static final int M = 256;

  /// Float32 moves the output by 1e-6 of its norm at most where weights are sums of 256 products;
  /// exponents up to 60 cost six bits more, so 1e-4 is generous.
  @ParameterizedTest
  @CsvSource({"1e-6, 1e-6, 0.99", "1e-6, 0, 0.7", "0, 0, 0.7"})
  void doublePrecisionTwinErrsAlike(double eps, double stabiliser, double least)
      throws IOException {
    InputSource captured = InputSource.parse("captured");
    AttentionShape shape = captured.shapeFor(AttentionShape.of(1, 2, N, D));
    Tensors inputs =
        captured
            .load(shape, 1)
            .with("random_projection", OrthogonalDraws.of(42, Lengths.REGULAR, true, M, D));
    Attention performer =
        Catalogue.parse("performer:eps=" + eps + ",renorm_stabilizer=" + stabiliser);
    Tensor out = Tensor.zeros(performer.outputShape(shape));
    performer.plan(shape, Mask.causal(), 2).forward(inputs, out);
    Tensor twin = twin(shape, inputs, eps, stabiliser);
    Tensor exact = ErrorStudy.exact(new Tiled().exactTarget(shape, Mask.causal(), inputs), 2);
    double error = ErrorStudy.compare(out, exact).relativeFrobenius();
    assertEquals(0, ErrorStudy.compare(out, twin).relativeFrobenius(), 1e-4);
    assertEquals(ErrorStudy.compare(twin, exact).relativeFrobenius(), error, 1e-4);
    assertTrue(error > least, "error " + error);
  }

  private static Tensor twin(AttentionShape shape, Tensors inputs, double eps, double stabiliser) {
    Tensor out = Tensor.zeros(1, shape.numHeads(), N, D);
    float[] v = inputs.get("v").data();
    for (int h = 0; h < shape.numHeads(); h++) {
      double[][] queries = exponents(inputs.get("q"), h, inputs.get("random_projection"));
      double[][] keys = exponents(inputs.get("k"), h, inputs.get("random_projection"));
      double c = Double.NEGATIVE_INFINITY;
      for (int i = 0; i < N; i++) {
        c = Math.max(c, largest(keys[i]));
        double own = largest(queries[i]);
        double sum = 0;
        double[] row = new double[D];
        for (int j = 0; j <= i; j++) {
          double weight = 0;
          for (int a = 0; a < M; a++) {
            weight +=
                (Math.exp(queries[i][a] - queries[i][M] - own) + eps)
                    * (Math.exp(keys[j][a] - keys[j][M] - c) + eps)
                    / M;
          }
          sum += weight;
          for (int e = 0; e < D; e++) {
            row[e] += weight * v[(h * N + j) * D + e];
          }
        }
        for (int e = 0; e < D; e++) {
          double divisor = sum <= stabiliser ? sum + 2 * stabiliser : sum;
          out.data()[(h * N + i) * D + e] = (float) (row[e] / divisor);
        }
      }
    }
    return out;
  }

  /// u = ω x·d^(-1/4) of every row, and behind it |x|²/(2√d).
  private static double[][] exponents(Tensor x, int head, Tensor omega) {
    double[][] u = new double[N][M + 1];
    for (int i = 0; i < N; i++) {
      for (int e = 0; e < D; e++) {
        double element = x.data()[(head * N + i) * D + e] / Math.sqrt(Math.sqrt(D));
        u[i][M] += element * element / 2;
        for (int a = 0; a < M; a++) {
          u[i][a] += omega.data()[a * D + e] * element;
        }
      }
    }
    return u;
  }

  private static double largest(double[] u) {
    double max = Double.NEGATIVE_INFINITY;
    for (int a = 0; a < M; a++) {
      max = Math.max(max, u[a]);
    }
    return max;
  }
}
