// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.tensor.Tensor;

/// The passes of [TopK]: keys are packed, then rows selected and their values mixed.
final class TopKPlan extends AttentionPlan {
  private final TopKRows rows;
  private final TopKRows.Row mix = this::mix;
  private final Workers.Task pack = this::pack;
  private final Workers.Task block = this::block;

  TopKPlan(PlanRequest request, TopK attention) {
    super(request);
    rows = new TopKRows(scratch, attention, shape, mask, threads());
  }

  /// The selection, with the keys of the last forward pass.
  TopKRows rows() {
    return rows;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(rows.groups(), pack);
    workers.run(shape.problems() * rows.blocks(), block);
  }

  private void pack(int worker, int group) {
    rows.pack(input("k"), group);
  }

  private void block(int worker, int index) {
    int problem = index / rows.blocks();
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    rows.block(worker, input("q"), batch, h, index % rows.blocks(), mix);
  }

  /// Mixes the values of one row.
  private void mix(int worker, int batch, int h, int i, int count) {
    int dv = shape.valueDim();
    int o = shape.outputOffset(batch, h) + i * dv;
    int values = shape.valueOffset(batch, h);
    RowSelection.mix(
        dv, count, rows.weights(worker), rows.kept(worker), input("v"), values, out, o);
  }
}
