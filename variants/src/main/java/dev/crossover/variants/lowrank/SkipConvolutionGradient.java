// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.kernel.Kernels;

/// The backward pass of the skip convolution of [Nystromformer], `out_t += Σ_j w_j
/// v_{t+j−⌊taps/2⌋}` over real positions: some rows of one tap are one stretch of memory, in ∂out
/// and in v.
final class SkipConvolutionGradient {
  private static final int POSITIONS = 256;

  private final Kernels kernels = Kernels.get();
  private final AttentionShape shape;
  private final Mask mask;
  private final int taps;
  private final int n;
  private final int dv;

  SkipConvolutionGradient(AttentionShape shape, Mask mask, int taps) {
    this.shape = shape;
    this.mask = mask;
    this.taps = taps;
    n = shape.keySeqLen();
    dv = shape.valueDim();
  }

  /// ∂v_p += Σ_j w_j ∂out_{p−j+⌊taps/2⌋} of one key/value head, over the heads that share it.
  void values(int batch, int keyHead, float[] weight, float[] gradOut, float[] gradV) {
    int first = keyHead * shape.groupSize();
    int v = shape.valueOffset(batch, first);
    for (int h = first; h < first + shape.groupSize(); h++) {
      int out = shape.outputOffset(batch, h);
      for (int from = mask.nextReal(batch, 0, n); from < n; ) {
        int to = mask.nextPadding(batch, from, n);
        for (int j = 0; j < taps; j++) {
          int shift = taps / 2 - j;
          int begin = Math.max(from, -shift);
          int end = Math.min(to, n - shift);
          if (begin < end) {
            float factor = weight[h * taps + j];
            int count = (end - begin) * dv;
            kernels.axpy(count, factor, gradOut, out + (begin + shift) * dv, gradV, v + begin * dv);
          }
        }
        from = mask.nextReal(batch, to, n);
      }
    }
  }

  /// ∂w_j = Σ ∂out_t · v_{t+j−⌊taps/2⌋} of one head, over the batch.
  void weights(int h, float[] v, float[] gradOut, float[] gradWeight) {
    for (int j = 0; j < taps; j++) {
      int shift = taps / 2 - j;
      double sum = 0;
      for (int batch = 0; batch < shape.batchSize(); batch++) {
        int out = shape.outputOffset(batch, h);
        int values = shape.valueOffset(batch, h);
        for (int from = mask.nextReal(batch, 0, n); from < n; ) {
          int to = mask.nextPadding(batch, from, Math.min(n, from + POSITIONS));
          int begin = Math.max(from, -shift);
          int end = Math.min(to, n - shift);
          if (begin < end) {
            int count = (end - begin) * dv;
            sum += kernels.dot(count, gradOut, out + (begin + shift) * dv, v, values + begin * dv);
          }
          from = mask.nextReal(batch, to, n);
        }
      }
      gradWeight[h * taps + j] += (float) sum;
    }
  }
}
