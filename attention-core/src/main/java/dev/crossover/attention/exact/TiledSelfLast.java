// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.Capabilities.Padding;
import dev.crossover.attention.Cost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;

/// Exact softmax attention in which query i sees key i only if it sees no other key: the reference
/// for mechanisms whose queries and keys are the same vectors, where a token's own score would
/// drown all others (Kitaev et al., "Reformer", arXiv:2001.04451, section 2).
///
/// Not a mechanism of the catalogue: it exists to measure errors against. Tiled like [Tiled];
/// honours every [Mask]; a row that may see no key, not even its own, is zero.
///
/// @param scale factor on the dot products
public record TiledSelfLast(double scale) implements Attention {

  /// Validates the scale.
  public TiledSelfLast {
    if (!Double.isFinite(scale)) {
      throw new IllegalArgumentException("scale must be finite, but was " + scale);
    }
  }

  @Override
  public Capabilities capabilities() {
    return Capabilities.MINIMAL.causal(Causality.OPTIONAL).keyPadding(Padding.ANY).valueDim(true);
  }

  @Override
  public Cost cost(AttentionShape s, Mask mask, int threads) {
    int rows = SoftmaxTile.preferredRows();
    double flops =
        s.problems() * Cost.pairs(s, mask) * (2.0 * s.headDim() + 2.0 * s.valueDim() + 5);
    long panels = s.problems() * KeyPanels.bytes(s.keySeqLen(), s.headDim());
    long perThread = SoftmaxTile.bytes(rows, s.headDim(), s.valueDim()) + 5L * rows * Float.BYTES;
    return new Cost(flops, Cost.tensorBytes(s) + 2.0 * panels, panels + threads * perThread);
  }

  @Override
  public AttentionPlan newPlan(PlanRequest request) {
    return new Plan(request);
  }

  private final class Plan extends AttentionPlan {
    private final int rows = SoftmaxTile.preferredRows();
    private final int n = shape.keySeqLen();
    private final int d = shape.headDim();
    private final int dv = shape.valueDim();
    private final int blocks = Math.ceilDiv(n, rows);
    private final KeyPanels[] panels = new KeyPanels[shape.problems()];
    private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
    private final int[][] bounds = new int[threads()][];
    private final float[][] lse = new float[threads()][];
    private final Workers.Task pack = this::pack;
    private final Workers.Task block = this::block;

    Plan(PlanRequest request) {
      super(request);
      for (int p = 0; p < panels.length; p++) {
        panels[p] = new KeyPanels(scratch, n, d);
      }
      for (int t = 0; t < tiles.length; t++) {
        tiles[t] = new SoftmaxTile(scratch, rows, d, dv);
        bounds[t] = scratch.ints(4L * rows);
        lse[t] = scratch.floats(rows);
      }
    }

    @Override
    protected void compute(Tensor output) {
      workers.run(panels.length, pack);
      workers.run(panels.length * blocks, block);
    }

    private void pack(int worker, int problem) {
      panels[problem].pack(input("k"), problem * n * d, d, n, 0);
    }

    /// A block of rows over the real keys before each row, then over those after it.
    private void block(int worker, int index) {
      int problem = index / blocks;
      int batch = problem / shape.numHeads();
      int first = index % blocks * rows;
      int count = Math.min(rows, n - first);
      int[] bound = bounds[worker];
      for (int r = 0; r < count; r++) {
        int limit = mask.causalLimit(first + r, n, n);
        bound[r] = 0;
        bound[rows + r] = Math.min(first + r, limit);
        bound[2 * rows + r] = first + r + 1;
        bound[3 * rows + r] = Math.max(first + r + 1, limit);
      }
      SoftmaxTile tile = tiles[worker];
      tile.begin(input("q"), (problem * n + first) * d, d, count, (float) scale);
      int to = 0;
      for (int from = mask.nextReal(batch, 0, n); from < n; from = mask.nextReal(batch, to, n)) {
        to = mask.nextPadding(batch, from, n);
        for (int side = 0; side <= 2 * rows; side += 2 * rows) {
          tile.attend(
              panels[problem],
              input("v"),
              problem * n * dv,
              dv,
              from,
              to,
              bound,
              side,
              bound,
              side + rows);
        }
      }
      int o = (problem * n + first) * dv;
      tile.finish(out, o, dv, lse[worker], 0);
      for (int r = 0; r < count; r++) {
        int i = first + r;
        boolean sees = i < mask.causalLimit(i, n, n) && mask.isRealKey(batch, i);
        if (sees && lse[worker][r] == Float.NEGATIVE_INFINITY) {
          System.arraycopy(input("v"), (problem * n + i) * dv, out, o + r * dv, dv);
        }
      }
    }
  }
}
