// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import org.jspecify.annotations.Nullable;

/// The gradients of [GradientTile] as their formulas read, one pair at a time.
final class ScalarGradients implements GradientEngine {
  private final Kernels kernels = Kernels.get();

  @Override
  public void begin(GradientRows rows) {}

  @Override
  public void attend(
      GradientRows rows,
      GradientKeys keys,
      int from,
      int to,
      int[] low,
      int[] high,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    for (int r = 0; r < rows.count; r++) {
      for (int j = Math.max(from, low[r]); j < Math.min(to, high[r]); j++) {
        float addition = bias == null ? 0 : bias[bo + r * ldb + j - from];
        if (addition != Float.NEGATIVE_INFINITY) {
          pair(rows, keys, r, j, addition);
        }
      }
    }
  }

  private void pair(GradientRows rows, GradientKeys keys, int r, int j, float addition) {
    int d = keys.dim;
    int dv = keys.valueDim;
    float score = rows.scale * kernels.dot(d, rows.query, r * d, keys.keyRows, j * d) + addition;
    float weight = (float) Math.exp(score + rows.minusLse[r] * Math.log(2));
    float weighed = kernels.dot(dv, rows.gradOut, r * dv, keys.valuePanels.data, j * dv);
    float slope = weight * (weighed + rows.minusD[r]);
    if (rows.faults[r] != 0) {
      slope = Float.NaN;
      weight = rows.faults[r] >= GradientRows.NAN_WEIGHT ? slope : weight;
    }
    kernels.axpy(d, slope, keys.keyRows, j * d, rows.gradQuery, r * rows.stride);
    kernels.axpy(d, slope, rows.query, r * d, keys.gradKey, j * keys.keyStride);
    kernels.axpy(dv, weight, rows.gradOut, r * dv, keys.gradValue, j * keys.valueStride);
  }
}
