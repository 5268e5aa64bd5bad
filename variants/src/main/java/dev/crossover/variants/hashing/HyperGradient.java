// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.GradientKeys;
import dev.crossover.attention.kernel.GradientTile;
import dev.crossover.attention.select.IntervalGradient;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// The backward pass of [HyperAttention]: the leaves, then level by level the squares, sorted
/// again. Zero rows count in the log-sum-exp and get no gradient.
final class HyperGradient extends DifferentiablePlan {
  private final HyperAttention attention;
  private final HyperPlan forward;
  private final HyperSquares squares;
  private final HyperSquares.Layout layout;
  private final float[] lse;
  private final Pass pass;
  private final Workers.Task sort = this::sort;

  HyperGradient(PlanRequest request, HyperAttention attention) {
    super(request);
    this.attention = attention;
    lse = kept.floats((long) shape.problems() * shape.querySeqLen());
    forward = new HyperPlan(request, attention, lse);
    scratch.include(forward.scratchBytes());
    squares = forward.squares();
    layout = squares.layout();
    pass = new Pass(request, scratch);
  }

  static GradientCost cost(
      HyperAttention attention, AttentionShape s, Mask mask, double pairs, int threads) {
    HyperSquares.Layout layout = attention.layout(s, mask);
    return new GradientCost(
        IntervalGradient.flops(s, s.problems() * pairs),
        Float.BYTES * (long) s.problems() * s.querySeqLen(),
        HyperPlan.scratchBytes(attention, s, mask, threads)
            + IntervalGradient.bytes(
                s, threads, maxKeys(attention, layout), GradientTile.preferredRows())
            + Float.BYTES * (threads * (long) layout.mostSquares() + attention.sampleSize()));
  }

  /// Most positions of a pass: the sorted keys of all squares and their samples, or all keys.
  private static int maxKeys(HyperAttention attention, HyperSquares.Layout layout) {
    int samples = Math.multiplyExact(layout.mostSquares(), attention.sampleSize());
    return Math.max(layout.n(), Math.addExact(layout.mostRows(), samples));
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    pass.bind(input("q"), input("k"), input("v"), output(), lse);
    if (layout.leaf() > 0) {
      pass.level = -1;
      pass.run(gradOut, wanted("q"), wanted("k"), wanted("v"));
    }
    for (int level = 0; level < layout.levels(); level++) {
      squares.level(level);
      pass.begin(level);
      workers.run(shape.problems() * layout.squares(level), sort);
      pass.run(gradOut, wanted("q"), wanted("k"), wanted("v"));
    }
  }

  private void sort(int worker, int index) {
    int perProblem = layout.squares(pass.level);
    squares.sort(worker, index / perProblem, index % perProblem, input("samples"));
  }

  /// The leaves, or the squares of one level: positions are the sorted keys of a square, then its
  /// samples.
  private final class Pass extends IntervalGradient {
    private final int n = shape.querySeqLen();
    private final int rows = GradientTile.preferredRows();
    private final int samples = attention.sampleSize();
    private final int blocksOfRows = Math.ceilDiv(attention.blockSize(), rows);
    private final int[][] starts;
    private final float[] shift;
    private int level;

    Pass(PlanRequest request, Scratch scratch) {
      super(
          request.shape(),
          request.threads(),
          attention.scaleFor(request.shape()),
          scratch,
          maxKeys(attention, layout),
          GradientTile.preferredRows(),
          false);
      starts = new int[request.threads()][];
      for (int t = 0; t < starts.length; t++) {
        starts[t] = scratch.ints(layout.mostSquares());
      }
      shift = scratch.floats(samples);
    }

    private void begin(int newLevel) {
      level = newLevel;
      double keys = layout.length(level);
      Arrays.fill(shift, (float) Math.log(keys / Math.max(1, samples)));
    }

    @Override
    protected void addKeys(int worker, GradientKeys keys, int batch, int head) {
      int problem = batch * shape.numHeads() + head;
      if (level < 0) {
        keys.add(0, 1, n);
        return;
      }
      for (int s = 0; s < layout.squares(level); s++) {
        starts[worker][s] = keys.positions();
        if (layout.queries(level, s) > 0) {
          keys.add(squares.keys(), squares.first(problem, s), layout.length(level));
          int sampled = layout.samples(level, samples);
          keys.add(squares.sampled(), squares.firstSampled(problem, s), sampled);
        }
      }
    }

    @Override
    protected int blocks(int head) {
      return level < 0
          ? Math.ceilDiv(n, rows)
          : layout.squares(level) * layout.blocks(level) * blocksOfRows;
    }

    @Override
    protected void block(
        int worker, GradientTile tile, GradientKeys keys, int batch, int head, int block) {
      int problem = batch * shape.numHeads() + head;
      if (level < 0) {
        leaf(tile, keys, block * rows);
        return;
      }
      int ofSquare = block / blocksOfRows;
      int square = ofSquare / layout.blocks(level);
      int a = ofSquare % layout.blocks(level);
      int from = squares.queriesBefore(problem, square, a) + block % blocksOfRows * rows;
      int count = Math.min(rows, squares.queriesBefore(problem, square, a + 1) - from);
      if (count <= 0) {
        return;
      }
      tile.rows(squares.queries(), squares.first(problem, square) + from, count);
      int base = starts[worker][square];
      int first = base + a * layout.block();
      see(tile, count, first, first + squares.keysOf(a));
      tile.attend(keys);
      sampled(tile, keys, problem, square, a, count, base + layout.length(level));
    }

    private void leaf(GradientTile tile, GradientKeys keys, int first) {
      int count = Math.min(rows, n - first);
      tile.rows(first, 1, count);
      for (int r = 0; r < count; r++) {
        int i = first + r;
        tile.see(r, layout.causal() ? layout.leafStart(i) : 0, layout.causal() ? i + 1 : n);
      }
      tile.attend(keys);
    }

    private void sampled(
        GradientTile tile, GradientKeys keys, int problem, int square, int a, int count, int base) {
      int sampled = layout.samples(level, samples);
      if (sampled == 0) {
        return;
      }
      boolean all = !attention.maskOwnBlock();
      int before = all ? sampled : squares.sampledBefore(problem, square, a);
      int after = all ? sampled : squares.sampledBefore(problem, square, a + 1);
      see(tile, count, base, base + before);
      tile.attendBiased(keys, base, base + before, shift, 0, 0);
      see(tile, count, base + after, base + sampled);
      tile.attendBiased(keys, base + after, base + sampled, shift, 0, 0);
    }

    private static void see(GradientTile tile, int count, int from, int to) {
      for (int r = 0; r < count; r++) {
        tile.see(r, from, to);
      }
    }
  }
}
