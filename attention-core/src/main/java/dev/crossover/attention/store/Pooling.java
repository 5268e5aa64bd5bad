// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

/// Smooths scores over neighbouring positions, so that what stays comes in runs: width k, stride 1.
public enum Pooling {
  /// The mean; positions beyond the ends count as zero.
  AVERAGE,
  /// The maximum.
  MAXIMUM;

  /// Replaces the first `count` scores by their pooled values.
  void apply(double[] scores, int count, int kernelSize) {
    double[] pooled = new double[count];
    int half = kernelSize / 2;
    for (int j = 0; j < count; j++) {
      int from = Math.max(0, j - half);
      int to = Math.min(count, j + half + 1);
      double value = this == MAXIMUM ? Double.NEGATIVE_INFINITY : 0;
      for (int i = from; i < to; i++) {
        value = this == MAXIMUM ? Math.max(value, scores[i]) : value + scores[i] / kernelSize;
      }
      pooled[j] = value;
    }
    System.arraycopy(pooled, 0, scores, 0, count);
  }
}
