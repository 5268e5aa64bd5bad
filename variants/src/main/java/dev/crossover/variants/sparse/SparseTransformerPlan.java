// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.sparse.SparseTransformer.Pattern;
import org.jspecify.annotations.Nullable;

/// The passes of [SparseTransformer]: columns first, class by class; then the intervals and summary
/// cells of each block of rows, which take up the columns where a head is their union.
final class SparseTransformerPlan extends AttentionPlan {
  private static final int MARKS = 2;

  private final SparseTransformer attention;
  private final float @Nullable [] lse;
  private final int rows = SoftmaxTile.preferredRows();
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int groups = shape.batchSize() * shape.numKeyValueHeads();
  private final float factor = (float) Attention.defaultScale(shape);
  private final StridedPanels[] natural;
  private final StridedPanels[] columns;
  private final KeyPanels[] summaryKeys = new KeyPanels[shape.problems()];
  private final float[][] summaryValues = new float[shape.problems()][];
  private final int[][] summaryReal = new int[shape.problems()][];
  private final SummaryCells[] cells = new SummaryCells[shape.numHeads()];
  private final int[] real;
  private final float[] columnMarks;
  private final IntervalTile[] tiles = new IntervalTile[threads()];
  private final int classes;
  private final int classBlocks;
  private final int blocks = Math.ceilDiv(n, rows);
  private final Workers.Task pack = this::pack;
  private final Workers.Task summarise = this::summarise;
  private final Workers.Task column = this::columnBlock;
  private final Workers.Task block = this::block;

  /// @param lse receives the log-sum-exp of every row, `[B,H,n]`; null where it is not kept
  SparseTransformerPlan(PlanRequest request, SparseTransformer attention, float @Nullable [] lse) {
    super(request);
    this.attention = attention;
    this.lse = lse;
    natural = panels(attention.pattern().stream().anyMatch(Pattern::hasInterval), 1);
    columns = panels(attention.pattern().stream().anyMatch(Pattern::hasColumn), attention.stride());
    classes = StridedPanels.classes(n, attention.stride());
    classBlocks = Math.ceilDiv(Math.ceilDiv(n, classes), rows);
    real = scratch.ints(mask.hasKeyPadding() ? (long) shape.batchSize() * n : 0);
    for (int j = 0; j < real.length; j++) {
      real[j] = mask.isRealKey(j / n, j % n) ? 1 : 0;
    }
    for (int h = 0; h < cells.length; h++) {
      cells[h] = attention.summaryOf(h);
    }
    for (int p = 0; p < shape.problems(); p++) {
      newSummary(p);
    }
    boolean union = attention.any(Pattern.STRIDED_UNION);
    columnMarks = scratch.floats(union ? (long) shape.problems() * n * MARKS : 0);
    for (int t = 0; t < tiles.length; t++) {
      tiles[t] = new IntervalTile(scratch, rows, d, dv);
    }
  }

  private StridedPanels[] panels(boolean used, int stride) {
    StridedPanels[] panels = new StridedPanels[used ? groups : 0];
    for (int g = 0; g < panels.length; g++) {
      panels[g] = new StridedPanels(scratch, n, stride, d);
    }
    return panels;
  }

  private void newSummary(int problem) {
    int h = problem % shape.numHeads();
    if (!attention.patternOf(h).hasSummary()) {
      return;
    }
    int length = cells[h].within(n);
    summaryKeys[problem] = new KeyPanels(scratch, length, d);
    summaryValues[problem] = scratch.floats((long) length * dv);
    summaryReal[problem] = scratch.ints(mask.hasKeyPadding() ? length : 0);
    for (int t = 0; t < summaryReal[problem].length; t++) {
      int batch = problem / shape.numHeads();
      summaryReal[problem][t] = mask.isRealKey(batch, cells[h].position(t)) ? 1 : 0;
    }
  }

  /// 1 for a real key and 0 for padding, `[B,n]`; empty without padding.
  int[] real() {
    return real;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(natural.length + columns.length, pack);
    workers.run(shape.problems(), summarise);
    if (columns.length > 0) {
      workers.run(shape.problems() * classes * classBlocks, column);
    }
    workers.run(shape.problems() * blocks, block);
  }

  private void pack(int worker, int index) {
    int group = index % groups;
    StridedPanels panels =
        index < natural.length ? natural[index] : columns[index - natural.length];
    panels.pack(input("k"), group * n * d);
  }

  /// Gathers the summary cells of a head.
  private void summarise(int worker, int problem) {
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    if (!attention.patternOf(h).hasSummary()) {
      return;
    }
    int first = cells[h].firstInWindow();
    int keys = shape.keyOffset(batch, h);
    int values = shape.valueOffset(batch, h);
    for (int from = first, t = 0; from < n; from += attention.stride()) {
      int count = Math.min(cells[h].size(), n - from);
      summaryKeys[problem].pack(input("k"), keys + from * d, d, count, t);
      System.arraycopy(input("v"), values + from * dv, summaryValues[problem], t * dv, count * dv);
      t += count;
    }
  }

  /// A block of rows of one residue class over S_strided; without what S_local holds in a union.
  private void columnBlock(int worker, int index) {
    int problem = index / (classes * classBlocks);
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int c = index / classBlocks % classes;
    int first = index % classBlocks * rows;
    StridedPanels keys = columns[groupOf(batch, h)];
    int count = Math.min(rows, keys.size(c) - first);
    if (count <= 0 || !attention.patternOf(h).hasColumn()) {
      return;
    }
    boolean union = attention.patternOf(h) == Pattern.STRIDED_UNION;
    int row = c + first * classes;
    IntervalTile tile = tiles[worker];
    tile.begin(input("q"), shape.queryOffset(batch, h) + row * d, classes * d, count, factor);
    int values = keys.valueOffset(c, shape.valueOffset(batch, h), dv);
    int start = keys.start(c);
    int shared = attention.reach() / attention.stride();
    for (int r = 0; r < count; r++) {
      int p = first + r;
      int limit = keys.sizeWithin(c, limit(row + r * classes));
      tile.see(r, start, start + (union ? Math.min(limit, p - shared) : limit));
    }
    attend(tile, keys.panels(), values, classes, batch, c - start * classes);
    if (union) {
      for (int r = 0; r < count; r++) {
        int limit = keys.sizeWithin(c, limit(row + r * classes));
        tile.see(r, start + Math.min(limit, first + r + shared + 1), start + limit);
      }
      attend(tile, keys.panels(), values, classes, batch, c - start * classes);
    }
    int o = shape.outputOffset(batch, h) + row * dv;
    if (union) {
      int marks = (problem * n + row) * MARKS;
      tile.suspend(out, o, classes * dv, columnMarks, marks, classes * MARKS);
    } else {
      tile.finish(out, o, classes * dv, lse, problem * n + row, classes);
    }
  }

  /// A block of consecutive rows: the interval and the summary cells of its pattern.
  private void block(int worker, int index) {
    int problem = index / blocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    Pattern pattern = attention.patternOf(h);
    if (pattern == Pattern.STRIDED) {
      return;
    }
    int first = index % blocks * rows;
    int count = Math.min(rows, n - first);
    IntervalTile tile = tiles[worker];
    int o = shape.outputOffset(batch, h) + first * dv;
    tile.begin(input("q"), shape.queryOffset(batch, h) + first * d, d, count, factor);
    if (pattern == Pattern.STRIDED_UNION) {
      tile.resume(out, o, dv, columnMarks, (problem * n + first) * MARKS, MARKS);
    }
    if (pattern.hasInterval()) {
      interval(tile, pattern, first);
      KeyPanels keys = natural[groupOf(batch, h)].panels();
      attend(tile, keys, shape.valueOffset(batch, h), 1, batch, 0);
    }
    if (pattern.hasSummary()) {
      summary(tile, problem, pattern == Pattern.FIXED_UNION, first);
    }
    tile.finish(out, o, dv, lse, problem * n + first, 1);
  }

  /// S_local, S_block or everything.
  private void interval(IntervalTile tile, Pattern pattern, int first) {
    for (int r = 0; r < tile.rows(); r++) {
      int i = first + r;
      tile.see(r, attention.intervalStart(pattern, i), attention.intervalEnd(pattern, i, limit(i)));
    }
  }

  /// S_summary; in a union without the cells of the row's own window, which S_block holds.
  private void summary(IntervalTile tile, int problem, boolean union, int first) {
    SummaryCells own = cells[problem % shape.numHeads()];
    for (int r = 0; r < tile.rows(); r++) {
      int seen = own.within(limit(first + r));
      int before = (first + r) / attention.stride() * own.size();
      tile.see(r, 0, union ? Math.min(seen, before) : seen);
    }
    attendSummary(tile, problem);
    if (union) {
      for (int r = 0; r < tile.rows(); r++) {
        int after = ((first + r) / attention.stride() + 1) * own.size();
        tile.see(r, after, own.within(limit(first + r)));
      }
      attendSummary(tile, problem);
    }
  }

  private void attendSummary(IntervalTile tile, int problem) {
    float[] values = summaryValues[problem];
    if (mask.hasKeyPadding()) {
      tile.attend(summaryKeys[problem], values, 0, dv, summaryReal[problem], 0, 1, 1);
    } else {
      tile.attend(summaryKeys[problem], values, 0, dv);
    }
  }

  /// Attends to the real keys; the key at panel position j is position `offset + j · step`.
  private void attend(
      IntervalTile tile, KeyPanels keys, int values, int step, int batch, int offset) {
    if (mask.hasKeyPadding()) {
      tile.attend(keys, input("v"), values, step * dv, real, batch * n + offset, step, 1);
    } else {
      tile.attend(keys, input("v"), values, step * dv);
    }
  }

  private int limit(int i) {
    return mask.causalLimit(i, n, n);
  }

  private int groupOf(int batch, int head) {
    return batch * shape.numKeyValueHeads() + head / shape.groupSize();
  }
}
