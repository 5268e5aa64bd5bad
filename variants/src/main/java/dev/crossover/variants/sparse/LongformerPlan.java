// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The passes of [Longformer]: the windows of each residue class with the global keys, then the
/// global rows.
final class LongformerPlan extends AttentionPlan {
  /// Kinds of keys, as bits: padding, neither padding nor global, and global.
  static final int HIDDEN = 0;

  static final int LOCAL = 1;
  static final int GLOBAL = 2;
  private static final int GATHERED = 256;

  private final Longformer attention;
  private final float @Nullable [] lse;
  private final int rows = SoftmaxTile.preferredRows();
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final float factor = (float) Attention.defaultScale(shape);
  private final StridedPanels[] panels;
  private final int[] kind;
  private final int[] globals;
  private final int[] globalCount;
  private final IntervalTile[] tiles = new IntervalTile[threads()];
  private final KeyPanels[] gatheredKeys = new KeyPanels[threads()];
  private final float[][] gatheredValues = new float[threads()][];
  private final float[][] part = new float[threads()][];
  private final int blocks;
  private final Workers.Task classify = this::classify;
  private final Workers.Task pack = this::pack;
  private final Workers.Task local = this::localBlock;
  private final Workers.Task global = this::globalBlock;
  private int globalBlocks;

  /// @param lse receives the log-sum-exp of every row, `[B,H,n]`; null where it is not kept
  LongformerPlan(PlanRequest request, Longformer attention, float @Nullable [] lse) {
    super(request);
    this.attention = attention;
    this.lse = lse;
    panels = new StridedPanels[attention.panelCount(shape)];
    kind = scratch.ints((long) shape.batchSize() * n);
    globals = scratch.ints((long) shape.batchSize() * n);
    globalCount = scratch.ints(shape.batchSize());
    for (int p = 0; p < panels.length; p++) {
      panels[p] = new StridedPanels(scratch, n, attention.dilationOf(p, shape), d);
    }
    for (int t = 0; t < tiles.length; t++) {
      tiles[t] = new IntervalTile(scratch, rows, d, dv);
      gatheredKeys[t] = new KeyPanels(scratch, GATHERED, d);
      gatheredValues[t] = scratch.floats((long) GATHERED * dv);
      part[t] = scratch.floats(rows * (dv + 1L));
    }
    int most = 0;
    for (int step : attention.dilation()) {
      int classes = StridedPanels.classes(n, step);
      most = Math.max(most, classes * Math.ceilDiv(Math.ceilDiv(n, classes), rows));
    }
    blocks = most;
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(Longformer attention, AttentionShape s, int threads) {
    long panels = 0;
    for (int p = 0; p < attention.panelCount(s); p++) {
      panels += StridedPanels.bytes(s.keySeqLen(), attention.dilationOf(p, s), s.headDim());
    }
    int rows = SoftmaxTile.preferredRows();
    long perThread =
        IntervalTile.bytes(rows, s.headDim(), s.valueDim())
            + KeyPanels.bytes(GATHERED, s.headDim())
            + Float.BYTES * ((long) GATHERED * s.valueDim() + rows * (s.valueDim() + 1L));
    long indices = (2L * s.batchSize() * s.keySeqLen() + s.batchSize()) * Integer.BYTES;
    return panels + indices + threads * perThread;
  }

  /// The kinds of all keys `[B,n]`, as the last forward pass found them.
  int[] kind() {
    return kind;
  }

  /// Positions of the global keys, those of batch entry b from `b n`.
  int[] globals() {
    return globals;
  }

  /// Number of global keys of each batch entry.
  int[] globalCount() {
    return globalCount;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(shape.batchSize(), classify);
    workers.run(panels.length, pack);
    workers.run(shape.problems() * blocks, local);
    int most = 0;
    for (int count : globalCount) {
      most = Math.max(most, count);
    }
    globalBlocks = Math.ceilDiv(most, rows);
    workers.run(shape.problems() * globalBlocks, global);
  }

  /// Sorts the keys of a batch entry into hidden, local and global ones.
  private void classify(int worker, int batch) {
    boolean given = hasInput("global_mask");
    int count = 0;
    for (int j = batch * n; j < (batch + 1) * n; j++) {
      kind[j] = mask.isRealKey(batch, j - batch * n) ? LOCAL : HIDDEN;
      if (given && kind[j] == LOCAL && input("global_mask")[j] != 0) {
        kind[j] = GLOBAL;
        globals[batch * n + count++] = j - batch * n;
      }
    }
    globalCount[batch] = count;
  }

  private void pack(int worker, int panel) {
    int heads = panels.length / shape.batchSize();
    int head = panel % heads * (shape.numHeads() / heads);
    panels[panel].pack(input("k"), shape.keyOffset(panel / heads, head));
  }

  /// A block of rows of one residue class: its window W(i), then the global keys.
  private void localBlock(int worker, int index) {
    int problem = index / blocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int heads = panels.length / shape.batchSize();
    StridedPanels keys = panels[batch * heads + h / (shape.numHeads() / heads)];
    int step = keys.stride();
    int classBlocks = Math.ceilDiv(Math.ceilDiv(n, step), rows);
    int c = index % blocks / classBlocks;
    int first = index % blocks % classBlocks * rows;
    int count = c < step ? Math.min(rows, keys.size(c) - first) : 0;
    if (count <= 0) {
      return;
    }
    int row = c + first * step;
    IntervalTile tile = tiles[worker];
    tile.begin(input("q"), shape.queryOffset(batch, h) + row * d, step * d, count, factor);
    for (int r = 0; r < count; r++) {
      window(tile, keys, c, first, r);
    }
    int start = keys.start(c);
    tile.attend(
        keys.panels(),
        input("v"),
        keys.valueOffset(c, shape.valueOffset(batch, h), dv),
        step * dv,
        kind,
        batch * n + c - start * step,
        step,
        LOCAL);
    globalKeys(worker, batch, h, row, step);
    int o = shape.outputOffset(batch, h) + row * dv;
    tile.finish(out, o, step * dv, lse, problem * n + row, step);
    for (int r = 0; r < count; r++) {
      if (kind[batch * n + row + r * step] == HIDDEN) {
        Arrays.fill(out, o + r * step * dv, o + r * step * dv + dv, 0);
      }
    }
  }

  /// W(i) in positions of the residue class of i.
  private void window(IntervalTile tile, StridedPanels keys, int c, int first, int r) {
    int p = first + r;
    int limit = keys.sizeWithin(c, mask.causalLimit(c + p * keys.stride(), n, n));
    int to = (int) Math.min(limit, p + (long) attention.window() + 1);
    int start = keys.start(c);
    tile.see(r, start + Math.max(0, p - attention.window()), start + to);
  }

  /// G, gathered tile by tile, with the local projections.
  private void globalKeys(int worker, int batch, int h, int row, int step) {
    IntervalTile tile = tiles[worker];
    float[] values = gatheredValues[worker];
    int valueOffset = shape.valueOffset(batch, h);
    for (int from = 0; from < globalCount[batch]; from += GATHERED) {
      int count = Math.min(GATHERED, globalCount[batch] - from);
      int at = batch * n + from;
      gatheredKeys[worker].gather(input("k"), shape.keyOffset(batch, h), d, globals, at, count, 0);
      for (int g = 0; g < count; g++) {
        System.arraycopy(input("v"), valueOffset + globals[at + g] * dv, values, g * dv, dv);
      }
      for (int r = 0; r < tile.rows(); r++) {
        int limit = mask.causalLimit(row + r * step, n, n);
        int seen = count;
        while (seen > 0 && globals[at + seen - 1] >= limit) {
          seen--;
        }
        tile.see(r, 0, seen);
      }
      tile.attend(gatheredKeys[worker], values, 0, dv);
    }
  }

  /// A block of global rows over all real keys, with the global projections.
  private void globalBlock(int worker, int index) {
    int problem = index / globalBlocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int first = index % globalBlocks * rows;
    int count = Math.min(rows, globalCount[batch] - first);
    if (count <= 0) {
      return;
    }
    float[] query = input(hasInput("q_global") ? "q_global" : "q");
    float[] key = input(hasInput("k_global") ? "k_global" : "k");
    float[] value = input(hasInput("v_global") ? "v_global" : "v");
    int at = batch * n + first;
    IntervalTile tile = tiles[worker];
    tile.begin(query, shape.queryOffset(batch, h), d, globals, at, count, factor);
    for (int from = 0; from < n; from += GATHERED) {
      int length = Math.min(GATHERED, n - from);
      gatheredKeys[worker].pack(key, shape.keyOffset(batch, h) + from * d, d, length, 0);
      for (int r = 0; r < count; r++) {
        tile.see(r, 0, Math.min(length, mask.causalLimit(globals[at + r], n, n) - from));
      }
      int values = shape.valueOffset(batch, h) + from * dv;
      tile.attend(
          gatheredKeys[worker], value, values, dv, kind, batch * n + from, 1, LOCAL | GLOBAL);
    }
    float[] sums = lse;
    tile.finish(part[worker], 0, dv, sums == null ? null : part[worker], rows * dv, 1);
    for (int r = 0; r < count; r++) {
      int o = shape.outputOffset(batch, h) + globals[at + r] * dv;
      System.arraycopy(part[worker], r * dv, out, o, dv);
      if (sums != null) {
        sums[problem * n + globals[at + r]] = part[worker][rows * dv + r];
      }
    }
  }
}
