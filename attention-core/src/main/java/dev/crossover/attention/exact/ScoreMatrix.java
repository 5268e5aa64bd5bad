// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Attention of one head whose nq × nk scores are written out, in three steps:
/// `S = Q Kᵀ`, `P = softmax(scale · S + bias)`, `O = P V`.
///
/// Rows of every tensor are adjacent; lengths are given with every call, so that a prefix of any
/// length can be attended to. Holds nothing of a call: any number of threads may use one.
final class ScoreMatrix {
  private final Kernels kernels = Kernels.get();
  private final Mask mask;
  private final int d;
  private final int dv;
  private final float scale;

  /// @param mask which keys each query may see
  /// @param shape widths of the rows; its lengths do not matter
  /// @param scale factor on the dot products
  ScoreMatrix(Mask mask, AttentionShape shape, double scale) {
    this.mask = mask;
    this.scale = (float) scale;
    d = shape.headDim();
    dv = shape.valueDim();
  }

  /// Floats of scratch that [#scores] needs.
  static int transposeScratch(int nk, int d) {
    return Kernels.get().transposedBScratch(nk, d);
  }

  /// S = Q Kᵀ, all pairs.
  void scores(
      int nq, int nk, float[] q, int qo, float[] k, int ko, float[] s, int so, float[] transposed) {
    kernels.multiplyTransposedB(nq, nk, d, q, qo, d, k, ko, d, s, so, nk, false, transposed, 0);
  }

  /// P = softmax(scale · S + bias) over the keys each row may see; 0 for hidden keys before its
  /// causal limit, S as it was beyond.
  ///
  /// @param bias `[nq, nk]` from `bo` on, or null
  void weights(int batch, int nq, int nk, float[] s, int so, float @Nullable [] bias, int bo) {
    for (int i = 0; i < nq; i++) {
      int row = so + i * nk;
      int limit = mask.causalLimit(i, nq, nk);
      kernels.scale(limit, scale, s, row, s, row);
      if (bias != null) {
        kernels.add(limit, s, row, bias, bo + i * nk, s, row);
      }
      for (int j = 0; mask.hasKeyPadding() && j < limit; j++) {
        if (!mask.isRealKey(batch, j)) {
          s[row + j] = Float.NEGATIVE_INFINITY;
        }
      }
      kernels.softmax(limit, s, row);
    }
  }

  /// O = P V over the keys each row may see.
  void mix(int batch, int nq, int nk, float[] p, int po, float[] v, int vo, float[] out, int oo) {
    if (mask.hasKeyPadding()) {
      mixRealKeys(batch, nq, nk, p, po, v, vo, out, oo);
      return;
    }
    int offset = mask.isCausal() ? Math.min(nk, mask.causalOffset(nq, nk)) : nk;
    kernels.multiplyLower(nq, dv, nk, offset, p, po, nk, v, vo, dv, out, oo, dv, false);
  }

  /// O = P V row by row, because values of padding must not be read, not even with weight 0.
  private void mixRealKeys(
      int batch, int nq, int nk, float[] p, int po, float[] v, int vo, float[] out, int oo) {
    for (int i = 0; i < nq; i++) {
      int o = oo + i * dv;
      int limit = mask.causalLimit(i, nq, nk);
      Arrays.fill(out, o, o + dv, 0);
      for (int j = 0; j < limit; j++) {
        if (mask.isRealKey(batch, j)) {
          kernels.axpy(dv, p[po + i * nk + j], v, vo + j * dv, out, o);
        }
      }
    }
  }
}
