// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.select.IntervalGradient;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.sparse.SparseTransformer.Pattern;

/// The backward pass of [SparseTransformer]: the columns of a head, then its intervals and summary
/// cells.
final class SparseTransformerGradient extends DifferentiablePlan {
  private final SparseTransformer attention;
  private final SparseTransformerPlan forward;
  private final float[] lse;
  private final Rows rows;

  SparseTransformerGradient(PlanRequest request, SparseTransformer attention) {
    super(request);
    this.attention = attention;
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    forward = new SparseTransformerPlan(request, attention, lse);
    scratch.include(forward.scratchBytes());
    rows = new Rows(request, scratch);
  }

  static GradientCost cost(
      SparseTransformer attention, AttentionShape s, double pairs, int threads, long forward) {
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        (long) Float.BYTES * s.problems() * s.querySeqLen(),
        forward
            + IntervalGradient.bytes(
                s, threads, maxKeys(attention, s), GradientTile.preferredRows()));
  }

  /// Most positions of a head in one run: every key in its column, or in its place and once more as
  /// a summary cell.
  private static int maxKeys(SparseTransformer attention, AttentionShape s) {
    int most = 0;
    for (int h = 0; h < s.numHeads(); h++) {
      Pattern pattern = attention.patternOf(h);
      int cells = pattern.hasSummary() ? attention.summaryLength(s, h) : 0;
      most = Math.max(most, cells + (pattern.hasInterval() ? s.keySeqLen() : 0));
      most = Math.max(most, pattern.hasColumn() ? s.keySeqLen() : 0);
    }
    return most;
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    rows.bind(input("q"), input("k"), input("v"), output(), lse);
    for (Pattern pattern : attention.pattern()) {
      rows.columns |= pattern.hasColumn();
    }
    if (rows.columns) {
      run(gradOut);
      rows.columns = false;
    }
    run(gradOut);
  }

  private void run(float[] gradOut) {
    rows.run(gradOut, wanted("q"), wanted("k"), wanted("v"));
  }

  /// One of two runs, since both add to the gradients of all queries: columns, class by class; or
  /// intervals, followed by summary cells.
  private final class Rows extends IntervalGradient {
    private final int n = shape.keySeqLen();
    private final int most = GradientTile.preferredRows();
    private final int classes = StridedPanels.classes(n, attention.stride());
    private final int classBlocks = Math.ceilDiv(Math.ceilDiv(n, classes), most);
    private final SummaryCells[] cells = new SummaryCells[shape.numHeads()];
    private boolean columns;

    Rows(PlanRequest request, Scratch scratch) {
      super(
          request,
          scratch,
          maxKeys(attention, request.shape()),
          GradientTile.preferredRows(),
          attention.pattern().size() > 1 || attention.summarySlots() > 1);
      for (int h = 0; h < cells.length; h++) {
        cells[h] = attention.summaryOf(h);
      }
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      Pattern pattern = attention.patternOf(head);
      if (columns) {
        for (int c = 0; pattern.hasColumn() && c < classes; c++) {
          add(keys, batch, c, classes, StridedPanels.size(n, c, classes));
        }
        return;
      }
      if (pattern.hasInterval()) {
        add(keys, batch, 0, 1, n);
      }
      if (pattern.hasSummary()) {
        SummaryCells own = cells[head];
        for (int from = own.firstInWindow(); from < n; from += attention.stride()) {
          add(keys, batch, from, 1, Math.min(own.size(), n - from));
        }
      }
    }

    private void add(GradientKeys keys, int batch, int first, int step, int count) {
      if (mask.hasKeyPadding()) {
        keys.add(first, step, count, forward.real(), batch * n, 1);
      } else {
        keys.add(first, step, count);
      }
    }

    @Override
    protected int blocks(int head) {
      Pattern pattern = attention.patternOf(head);
      if (columns) {
        return pattern.hasColumn() ? classes * classBlocks : 0;
      }
      return pattern == Pattern.STRIDED ? 0 : Math.ceilDiv(n, most);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      Pattern pattern = attention.patternOf(head);
      if (columns) {
        column(tile, keys, pattern, block / classBlocks, block % classBlocks * most);
      } else {
        int first = block * most;
        tile.rows(first, 1, Math.min(most, n - first));
        if (pattern.hasInterval()) {
          interval(tile, keys, pattern, first);
        }
        if (pattern.hasSummary()) {
          summary(tile, keys, pattern, cells[head], first);
        }
      }
    }

    /// S_strided of some rows of one residue class; without what S_local holds in a union.
    private void column(GradientTile tile, GradientKeys keys, Pattern pattern, int c, int first) {
      int count = Math.min(most, StridedPanels.size(n, c, classes) - first);
      if (count <= 0) {
        return;
      }
      boolean union = pattern == Pattern.STRIDED_UNION;
      int row = c + first * classes;
      tile.rows(row, classes, count);
      int start = StridedPanels.position(n, c, classes);
      int shared = attention.reach() / attention.stride();
      for (int r = 0; r < count; r++) {
        int limit = StridedPanels.sizeWithin(c, classes, limit(row + r * classes));
        tile.see(r, start, start + (union ? Math.min(limit, first + r - shared) : limit));
      }
      tile.attend(keys);
      if (union) {
        for (int r = 0; r < count; r++) {
          int limit = StridedPanels.sizeWithin(c, classes, limit(row + r * classes));
          tile.see(r, start + Math.min(limit, first + r + shared + 1), start + limit);
        }
        tile.attend(keys);
      }
    }

    /// S_local, S_block or everything.
    private void interval(GradientTile tile, GradientKeys keys, Pattern pattern, int first) {
      for (int r = 0; r < tile.rows(); r++) {
        int i = first + r;
        tile.see(
            r, attention.intervalStart(pattern, i), attention.intervalEnd(pattern, i, limit(i)));
      }
      tile.attend(keys);
    }

    /// S_summary; in a union without the cells of the row's own window, which S_block holds.
    private void summary(
        GradientTile tile, GradientKeys keys, Pattern pattern, SummaryCells own, int first) {
      boolean union = pattern == Pattern.FIXED_UNION;
      int start = pattern.hasInterval() ? n : 0;
      for (int r = 0; r < tile.rows(); r++) {
        int seen = own.within(limit(first + r));
        int before = (first + r) / attention.stride() * own.size();
        tile.see(r, start, start + (union ? Math.min(seen, before) : seen));
      }
      tile.attend(keys);
      if (union) {
        for (int r = 0; r < tile.rows(); r++) {
          int after = ((first + r) / attention.stride() + 1) * own.size();
          tile.see(r, start + after, start + own.within(limit(first + r)));
        }
        tile.attend(keys);
      }
    }

    private int limit(int i) {
      return mask.causalLimit(i, n, n);
    }
  }
}
