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

/// The backward pass of [Longformer]: rows that are not global over their windows and the global
/// keys, then global rows over all keys with the second projections.
final class LongformerGradient extends DifferentiablePlan {
  private final Longformer attention;
  private final LongformerPlan forward;
  private final float[] lse;
  private final Rows rows;

  LongformerGradient(PlanRequest request, Longformer attention) {
    super(request);
    this.attention = attention;
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    forward = new LongformerPlan(request, attention, lse);
    scratch.include(forward.scratchBytes());
    rows = new Rows(request, scratch);
  }

  static GradientCost cost(Longformer attention, AttentionShape s, double pairs, int threads) {
    return new GradientCost(
        IntervalGradient.flops(s, pairs),
        (long) Float.BYTES * s.problems() * s.querySeqLen(),
        LongformerPlan.scratchBytes(attention, s, threads)
            + IntervalGradient.bytes(s, threads, maxKeys(s), GradientTile.preferredRows()));
  }

  /// Every key in its residue class and once more as a global one.
  private static int maxKeys(AttentionShape s) {
    return 2 * s.keySeqLen();
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    rows.global = false;
    rows.bind(input("q"), input("k"), input("v"), output(), lse);
    rows.run(gradOut, wanted("q"), wanted("k"), wanted("v"));
    rows.mostGlobals = 0;
    for (int count : forward.globalCount()) {
      rows.mostGlobals = Math.max(rows.mostGlobals, count);
    }
    if (rows.mostGlobals > 0) {
      String q = hasInput("q_global") ? "q_global" : "q";
      String k = hasInput("k_global") ? "k_global" : "k";
      String v = hasInput("v_global") ? "v_global" : "v";
      rows.global = true;
      rows.bind(input(q), input(k), input(v), output(), lse);
      rows.run(gradOut, wanted(q), wanted(k), wanted(v));
    }
  }

  /// The rows of one branch.
  private final class Rows extends IntervalGradient {
    private final int n = shape.keySeqLen();
    private final int most = GradientTile.preferredRows();
    private boolean global;
    private int mostGlobals;

    Rows(PlanRequest request, Scratch scratch) {
      super(
          request,
          scratch,
          maxKeys(request.shape()),
          GradientTile.preferredRows(),
          attention.dilation().size() > 1);
    }

    private int classes(int head) {
      return StridedPanels.classes(n, attention.dilationOf(head));
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      if (global) {
        keys.add(0, 1, n, forward.kind(), batch * n, LongformerPlan.LOCAL | LongformerPlan.GLOBAL);
        return;
      }
      int step = classes(head);
      for (int c = 0; c < step; c++) {
        int size = StridedPanels.size(n, c, step);
        keys.add(c, step, size, forward.kind(), batch * n, LongformerPlan.LOCAL);
      }
      keys.add(forward.globals(), batch * n, forward.globalCount()[batch]);
    }

    @Override
    protected int blocks(int head) {
      if (global) {
        return Math.ceilDiv(mostGlobals, most);
      }
      int step = classes(head);
      return step * Math.ceilDiv(Math.ceilDiv(n, step), most);
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      if (global) {
        globalRows(tile, keys, batch, block * most);
      } else {
        int step = classes(head);
        int classBlocks = Math.ceilDiv(Math.ceilDiv(n, step), most);
        localRows(tile, keys, batch, step, block / classBlocks, block % classBlocks * most);
      }
    }

    /// Rows of residue class c from the first-th on: W(i), then G.
    private void localRows(
        GradientTile tile, GradientKeys keys, int batch, int step, int c, int first) {
      int count = Math.min(most, StridedPanels.size(n, c, step) - first);
      if (count <= 0) {
        return;
      }
      int row = c + first * step;
      tile.rows(row, step, count);
      int start = StridedPanels.position(n, c, step);
      for (int r = 0; r < count; r++) {
        int i = row + r * step;
        int p = first + r;
        int limit = StridedPanels.sizeWithin(c, step, mask.causalLimit(i, n, n));
        int to = (int) Math.min(limit, p + (long) attention.window() + 1);
        boolean sends = forward.kind()[batch * n + i] == LongformerPlan.LOCAL;
        tile.see(r, start + Math.max(0, p - attention.window()), sends ? start + to : 0);
      }
      tile.attend(keys);
      int[] globals = forward.globals();
      int globalKeys = forward.globalCount()[batch];
      for (int r = 0; r < count && globalKeys > 0; r++) {
        int i = row + r * step;
        int seen = globalKeys;
        while (seen > 0 && globals[batch * n + seen - 1] >= mask.causalLimit(i, n, n)) {
          seen--;
        }
        boolean sends = forward.kind()[batch * n + i] == LongformerPlan.LOCAL;
        tile.see(r, n, sends ? n + seen : 0);
      }
      if (globalKeys > 0) {
        tile.attend(keys);
      }
    }

    /// Global rows from the first-th on over all real keys.
    private void globalRows(GradientTile tile, GradientKeys keys, int batch, int first) {
      int count = Math.min(most, forward.globalCount()[batch] - first);
      if (count <= 0) {
        return;
      }
      int at = batch * n + first;
      tile.rows(forward.globals(), at, count);
      for (int r = 0; r < count; r++) {
        tile.see(r, 0, mask.causalLimit(forward.globals()[at + r], n, n));
      }
      tile.attend(keys);
    }
  }
}
