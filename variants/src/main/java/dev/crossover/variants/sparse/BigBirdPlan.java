// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The passes of [BigBird]: all slots of consecutive rows in one softmax.
final class BigBirdPlan extends AttentionPlan {
  private final BigBird attention;
  private final float @Nullable [] lse;
  private final int rows;
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int last;
  private final int tilesPerHead;
  private final float factor = (float) Attention.defaultScale(shape);
  private final StridedPanels[] panels =
      new StridedPanels[shape.batchSize() * shape.numKeyValueHeads()];
  private final int[] real;
  private final IntervalTile[] tiles = new IntervalTile[threads()];
  private final Workers.Task pack = this::pack;
  private final Workers.Task tile = this::queries;

  /// @param lse receives the log-sum-exp of every row, `[B,H,n]`; null where it is not kept
  BigBirdPlan(PlanRequest request, BigBird attention, float @Nullable [] lse) {
    super(request);
    this.attention = attention;
    this.lse = lse;
    rows = attention.rows(SoftmaxTile.preferredRows());
    last = attention.blocks(n) - 1;
    tilesPerHead = Math.ceilDiv(n, rows);
    real = scratch.ints(mask.hasKeyPadding() ? (long) shape.batchSize() * n : 0);
    for (int j = 0; j < real.length; j++) {
      real[j] = mask.isRealKey(j / n, j % n) ? 1 : 0;
    }
    for (int p = 0; p < panels.length; p++) {
      panels[p] = new StridedPanels(scratch, n, 1, d);
    }
    for (int t = 0; t < tiles.length; t++) {
      tiles[t] = new IntervalTile(scratch, rows, d, dv);
    }
  }

  /// 1 for a real key and 0 for padding, `[B,n]`; empty without padding.
  int[] real() {
    return real;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(panels.length, pack);
    workers.run(shape.problems() * tilesPerHead, tile);
  }

  private void pack(int worker, int panel) {
    panels[panel].pack(input("k"), panel * n * d);
  }

  /// Consecutive rows, of one or several query blocks: one softmax over all their slots.
  private void queries(int worker, int index) {
    int problem = index / tilesPerHead;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int first = index % tilesPerHead * rows;
    int count = Math.min(rows, n - first);
    IntervalTile tile = tiles[worker];
    tile.begin(input("q"), shape.queryOffset(batch, h) + first * d, d, count, factor);
    for (int r = 0; r < count; r++) {
      int block = (first + r) / attention.blockSize();
      tile.see(r, attention.windowStart(n, block), attention.windowEnd(n, block));
    }
    int lastBlock = (first + count - 1) / attention.blockSize();
    int from = (first / attention.blockSize() - 1) * attention.blockSize();
    int to = Math.min(n, (lastBlock + 2) * attention.blockSize());
    boolean global = attention.isDense(n) || first < attention.blockSize() || lastBlock == last;
    attend(tile, batch, h, global ? 0 : from, global ? n : to);
    if (!attention.isDense(n)) {
      for (int r = 0; r < count; r++) {
        int block = (first + r) / attention.blockSize();
        tile.see(r, 0, block > 1 && block < last ? n : 0);
      }
      attend(tile, batch, h, 0, attention.blockSize());
      for (int r = 0; r < count; r++) {
        int block = (first + r) / attention.blockSize();
        tile.see(r, 0, block > 0 && block < last - 1 ? n : 0);
      }
      attend(tile, batch, h, last * attention.blockSize(), n);
      int end = Math.min(last - 1, lastBlock);
      for (int block = Math.max(1, first / attention.blockSize()); block <= end; block++) {
        random(tile, batch, h, first, block);
      }
    }
    int o = shape.outputOffset(batch, h) + first * dv;
    tile.finish(out, o, dv, lse, problem * n + first, 1);
    for (int r = 0; r < count && mask.hasKeyPadding(); r++) {
      if (real[batch * n + first + r] == 0) {
        Arrays.fill(out, o + r * dv, o + r * dv + dv, 0);
      }
    }
  }

  /// The random blocks of one query block, one after the other.
  private void random(IntervalTile tile, int batch, int h, int first, int block) {
    for (int r = 0; r < tile.rows(); r++) {
      tile.see(r, 0, (first + r) / attention.blockSize() == block ? n : 0);
    }
    for (int s = 0; s < attention.numRandomBlocks(); s++) {
      int key = attention.randomBlock(input("random_blocks"), n, h, block, s);
      if (key >= 0) {
        int from = key * attention.blockSize();
        attend(tile, batch, h, from, Math.min(n, from + attention.blockSize()));
      }
    }
  }

  /// The real keys of a range, as far as the rows see them.
  private void attend(IntervalTile tile, int batch, int h, int from, int to) {
    StridedPanels keys = panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()];
    int values = shape.valueOffset(batch, h);
    if (mask.hasKeyPadding()) {
      tile.attend(keys.panels(), input("v"), values, dv, from, to, real, batch * n, 1, 1);
    } else {
      tile.attend(keys.panels(), input("v"), values, dv, from, to);
    }
  }
}
