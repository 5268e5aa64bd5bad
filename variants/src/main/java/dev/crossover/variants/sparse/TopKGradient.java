// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;

/// The backward pass of [TopK]: rows are selected again as in the forward pass.
final class TopKGradient extends ChosenKeysGradient {
  private final TopKPlan forward;
  private final int[] tasks;
  private final TopKRows.Row row = this::row;

  TopKGradient(PlanRequest request, TopK attention) {
    super(request, Attention.defaultScale(request.shape()), request.shape().keySeqLen());
    forward = new TopKPlan(request, attention);
    scratch.include(forward.scratchBytes());
    tasks = scratch.ints(threads());
  }

  /// Bytes of scratch beyond those of the forward pass.
  static long scratchBytes(AttentionShape s, int threads) {
    return bytes(s, s.keySeqLen(), threads) + (long) threads * Integer.BYTES;
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  int blocks() {
    return forward.rows().blocks();
  }

  @Override
  void block(int worker, int task, int batch, int head, int block) {
    tasks[worker] = task;
    forward.rows().block(worker, input("q"), batch, head, block, row);
  }

  private void row(int worker, int batch, int head, int i, int count) {
    TopKRows rows = forward.rows();
    row(worker, tasks[worker], batch, head, i, count, rows.weights(worker), rows.kept(worker), 0);
  }
}
