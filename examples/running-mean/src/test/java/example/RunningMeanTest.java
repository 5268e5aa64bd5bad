// SPDX-License-Identifier: Apache-2.0
package example;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;

/// The contract, with plain loops as the expectation.
class RunningMeanTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new RunningMean();
  }

  @Override
  public Reference reference() {
    return (_, shape, mask, inputs) -> {
      int n = shape.keySeqLen();
      int width = shape.valueDim();
      float[] v = inputs.get("v").data();
      double[] out = new double[v.length];
      for (int row = 0; row < shape.problems() * n; row++) {
        int first = row / n * n;
        int seen = mask.causalLimit(row % n, n, n);
        for (int c = 0; c < width && seen > 0; c++) {
          for (int j = first; j < first + seen; j++) {
            out[row * width + c] += v[j * width + c] / (double) seen;
          }
        }
      }
      return out;
    };
  }
}
