// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;

/// The plan of [Tiled] for more than a few query rows. In pseudo-code:
///
/// ```
/// in parallel, for each 512 keys of each key/value head:   pack the real ones into panels
/// in parallel, for each block of rows of each query head, longest first:
///   tile.begin(rows);  tile.attend(panels, values, row r up to limit(r));  tile.finish
/// ```
///
/// Departures: 1. where padding leaves holes, real keys and their values are gathered, so that
/// hidden ones cost nothing and every row still sees one interval; 2. blocks have 192 rows, fewer
/// where that would leave threads idle (the rule depends on the shape only, never on the number of
/// threads); 3. a bias is indexed by position, so with holes its keys are attended run by run.
final class TiledPlan extends AttentionPlan {
  private static final int KEYS_PER_PACKING = 512;
  private static final int ENOUGH_TASKS = 32;
  private static final int LEAST_ROWS = 48;

  private final float scale;
  private final int rows = blockRows(shape);
  private final int blocks = Math.ceilDiv(shape.querySeqLen(), rows);
  private final int packings = Math.ceilDiv(shape.keySeqLen(), KEYS_PER_PACKING);
  private final VisibleKeys visible = new VisibleKeys(scratch, shape, mask);
  private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
  private final float[] gathered;
  private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
  private final int[][] low = new int[threads()][];
  private final int[][] high = new int[threads()][];
  private final Workers.Task pack = this::pack;
  private final Workers.Task block = this::block;

  TiledPlan(PlanRequest request, double scale) {
    super(request);
    this.scale = (float) scale;
    for (int p = 0; p < panels.length; p++) {
      panels[p] = new KeyPanels(scratch, shape.keySeqLen(), shape.headDim());
    }
    gathered =
        scratch.floats(
            visible.gathered() ? (long) panels.length * shape.keySeqLen() * shape.valueDim() : 0);
    for (int t = 0; t < tiles.length; t++) {
      tiles[t] = new SoftmaxTile(scratch, rows, shape.headDim(), shape.valueDim());
      low[t] = scratch.ints(rows);
      high[t] = scratch.ints(rows);
    }
  }

  static long scratchBytes(AttentionShape s, Mask mask, int threads) {
    long heads = (long) s.batchSize() * s.numKeyValueHeads();
    int rows = blockRows(s);
    long values = VisibleKeys.haveHoles(mask) ? heads * s.keySeqLen() * s.valueDim() : 0;
    return heads * KeyPanels.bytes(s.keySeqLen(), s.headDim())
        + VisibleKeys.bytes(s, mask)
        + values * Float.BYTES
        + threads
            * (SoftmaxTile.bytes(rows, s.headDim(), s.valueDim()) + 2L * rows * Integer.BYTES);
  }

  private static int blockRows(AttentionShape s) {
    int rows = SoftmaxTile.preferredRows();
    while (rows / 2 >= LEAST_ROWS
        && (long) s.problems() * Math.ceilDiv(s.querySeqLen(), rows) < ENOUGH_TASKS) {
      rows /= 2;
    }
    return Math.max(1, Math.min(rows, s.querySeqLen()));
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(panels.length * packings, pack);
    workers.run(shape.problems() * blocks, block);
  }

  private void pack(int worker, int index) {
    int head = index / packings;
    int batch = head / shape.numKeyValueHeads();
    int from = index % packings * KEYS_PER_PACKING;
    int count = Math.min(KEYS_PER_PACKING, visible.count(batch) - from);
    if (count <= 0) {
      return;
    }
    int d = shape.headDim();
    int keys = head * shape.keySeqLen() * d;
    if (!visible.gathered()) {
      panels[head].pack(input("k"), keys + from * d, d, count, from);
      return;
    }
    int list = visible.offset(batch) + from;
    panels[head].gather(input("k"), keys, d, visible.index(), list, count, from);
    int dv = shape.valueDim();
    float[] v = input("v");
    int values = head * shape.keySeqLen() * dv;
    for (int j = 0; j < count; j++) {
      int source = values + visible.index()[list + j] * dv;
      System.arraycopy(v, source, gathered, values + (from + j) * dv, dv);
    }
  }

  private void block(int worker, int index) {
    int problem = index / blocks;
    int first = (blocks - 1 - index % blocks) * rows;
    int count = Math.min(rows, shape.querySeqLen() - first);
    int batch = problem / shape.numHeads();
    int head = problem % shape.numHeads();
    int dv = shape.valueDim();
    SoftmaxTile tile = tiles[worker];
    tile.begin(
        input("q"),
        shape.queryOffset(batch, head) + first * shape.headDim(),
        shape.headDim(),
        count,
        scale);
    attend(tile, worker, batch, head, first, count);
    int target = shape.outputOffset(batch, head) + first * dv;
    if (wantsResult("lse")) {
      int row = (batch * shape.numHeads() + head) * shape.querySeqLen() + first;
      tile.finish(out, target, dv, result("lse"), row);
    } else {
      tile.finish(out, target, dv);
    }
  }

  private void attend(SoftmaxTile tile, int worker, int batch, int head, int first, int count) {
    KeyPanels keys = panels[batch * shape.numKeyValueHeads() + head / shape.groupSize()];
    float[] v = visible.gathered() ? gathered : input("v");
    int vo = shape.valueOffset(batch, head);
    int dv = shape.valueDim();
    int all = visible.count(batch);
    float[] bias = hasInput("bias") ? input("bias") : null;
    if (bias == null && !mask.isCausal()) {
      tile.attend(keys, v, vo, dv, 0, all);
      return;
    }
    int most = 0;
    for (int r = 0; r < count; r++) {
      high[worker][r] = visible.limit(batch, first + r);
      most = Math.max(most, high[worker][r]);
    }
    if (bias == null) {
      tile.attend(keys, v, vo, dv, 0, most, low[worker], 0, high[worker], 0);
    } else {
      attendBiased(tile, keys, v, vo, worker, batch, head, first, most, bias);
    }
  }

  private void attendBiased(
      SoftmaxTile tile,
      KeyPanels keys,
      float[] v,
      int vo,
      int worker,
      int batch,
      int head,
      int first,
      int most,
      float[] bias) {
    int nk = shape.keySeqLen();
    int row = (head * shape.querySeqLen() + first) * nk;
    for (int from = 0; from < most; ) {
      int to = Math.min(most, visible.runEnd(batch, from));
      tile.attendBiased(
          keys,
          v,
          vo,
          shape.valueDim(),
          from,
          to,
          low[worker],
          0,
          high[worker],
          0,
          bias,
          row + visible.position(batch, from),
          nk);
      from = to;
    }
  }
}
