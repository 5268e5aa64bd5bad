// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of [Dsa], over the keys that the forward pass has chosen.
final class DsaGradient extends ChosenKeysGradient {
  private final DsaPlan forward;
  private final float[][] weights = new float[threads()][];

  DsaGradient(PlanRequest request, Dsa attention) {
    super(request, attention.scaleFor(request.shape()), attention.most(request.shape()));
    forward = new DsaPlan(request, attention, kept);
    scratch.include(forward.scratchBytes());
    for (int t = 0; t < weights.length; t++) {
      weights[t] = scratch.floats(attention.most(shape));
    }
  }

  /// Bytes of scratch beyond those of the forward pass.
  static long scratchBytes(Dsa attention, AttentionShape s, int threads) {
    int most = attention.most(s);
    return bytes(s, most, threads) + (long) threads * most * Float.BYTES;
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  /// A block is a row.
  @Override
  int blocks() {
    return shape.querySeqLen();
  }

  @Override
  void block(int worker, int task, int batch, int head, int row) {
    float[] p = weights[worker];
    int count = forward.weigh(batch, head, row, input("q"), input("k"), p);
    row(worker, task, batch, head, row, count, p, forward.chosen(), forward.first(batch, row));
  }
}
