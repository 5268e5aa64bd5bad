// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// Combines partial softmax results of the same query over disjoint key sets by their log-sum-exp.
public final class SoftmaxMerge {
  private SoftmaxMerge() {}

  /// `(out, lse) ← merge((out, lse), (part, partLse))` for one row of `n` values.
  ///
  /// @return the merged log-sum-exp
  public static float merge(
      int n, float[] out, int oo, float lse, float[] part, int po, float partLse) {
    if (partLse == Float.NEGATIVE_INFINITY) {
      return lse;
    }
    if (lse == Float.NEGATIVE_INFINITY) {
      System.arraycopy(part, po, out, oo, n);
      return partLse;
    }
    boolean larger = partLse > lse;
    double ratio = Math.exp(larger ? lse - partLse : partLse - lse);
    float major = (float) (1 / (1 + ratio));
    float minor = (float) (ratio / (1 + ratio));
    float keep = larger ? minor : major;
    float take = larger ? major : minor;
    for (int c = 0; c < n; c++) {
      out[oo + c] = keep * out[oo + c] + take * part[po + c];
    }
    return Math.max(lse, partLse) + (float) Math.log1p(ratio);
  }
}
