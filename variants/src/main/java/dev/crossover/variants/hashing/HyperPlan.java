// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.hashing;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The phases of [HyperAttention]: hash; exact leaves; then level by level sort, and blocks with
/// samples, each of which takes up what its queries saw before.
final class HyperPlan extends AttentionPlan {
  private static final int HASH_ROWS = 256;
  private static final int GROUP_KEYS = 2048;
  private static final int MARKS = 2;

  private final HyperAttention attention;
  private final float @Nullable [] lse;
  private final Kernels kernels = Kernels.get();
  private final HyperSquares squares;
  private final HyperSquares.Layout layout;
  private final int n = shape.querySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int block;
  private final int samples;
  private final int rows = SoftmaxTile.preferredRows();
  private final int groupBlocks;
  private final float scale;
  private final float[] marks;
  private final KeyPanels[] leaves;
  private final KeyPanels[] panels = new KeyPanels[threads()];
  private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
  private final float[][] values = new float[threads()][];
  private final int[][] low = new int[threads()][];
  private final int[][] high = new int[threads()][];
  private final float[] zeros;
  private final float[] shift;
  private final Workers.Task hash = this::hash;
  private final Workers.Task pack = this::pack;
  private final Workers.Task leaf = this::leaf;
  private final Workers.Task sort = this::sort;
  private final Workers.Task group = this::group;
  private final Workers.Task divide = this::divide;
  private int level;

  /// @param lse receives the log-sum-exp of every row, `[B,H,n]`; null where it is not kept
  HyperPlan(PlanRequest request, HyperAttention attention, float @Nullable [] lse) {
    super(request);
    this.attention = attention;
    this.lse = lse;
    squares = new HyperSquares(scratch, attention, shape, mask, threads());
    layout = squares.layout();
    block = attention.blockSize();
    samples = attention.sampleSize();
    groupBlocks = groupBlocks(layout);
    scale = (float) attention.scaleFor(shape);
    marks = scratch.floats((long) shape.problems() * n * MARKS);
    leaves = new KeyPanels[layout.leaf() == 0 ? 0 : shape.problems()];
    for (int p = 0; p < leaves.length; p++) {
      leaves[p] = new KeyPanels(scratch, n, d);
    }
    zeros = scratch.floats(layout.levels() == 0 ? 0 : (long) block * d);
    shift = scratch.floats(samples);
    int loaded = loaded(attention, layout);
    for (int t = 0; t < threads(); t++) {
      tiles[t] = new SoftmaxTile(scratch, rows, d, dv);
      panels[t] = new KeyPanels(scratch, loaded, d);
      values[t] = scratch.floats((long) loaded * dv);
      low[t] = scratch.ints(rows);
      high[t] = scratch.ints(rows);
    }
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(HyperAttention attention, AttentionShape s, Mask mask, int threads) {
    HyperSquares.Layout layout = attention.layout(s, mask);
    int rows = SoftmaxTile.preferredRows();
    int n = s.querySeqLen();
    int d = s.headDim();
    int loaded = loaded(attention, layout);
    long zeros = layout.levels() == 0 ? 0 : (long) attention.blockSize() * d;
    long floats = (long) s.problems() * n * MARKS + zeros + attention.sampleSize();
    long perThread =
        SoftmaxTile.bytes(rows, d, s.valueDim())
            + KeyPanels.bytes(loaded, d)
            + (long) loaded * s.valueDim() * Float.BYTES
            + 2L * rows * Integer.BYTES;
    return HyperSquares.bytes(attention, s, mask, threads)
        + floats * Float.BYTES
        + (layout.leaf() == 0 ? 0 : s.problems() * KeyPanels.bytes(n, d))
        + threads * perThread;
  }

  /// Blocks whose keys are gathered together.
  private static int groupBlocks(HyperSquares.Layout layout) {
    int blocks = layout.levels() == 0 ? 1 : layout.blocks(0);
    return Math.clamp(GROUP_KEYS / layout.block(), 1, Math.max(1, blocks));
  }

  /// Keys of a group and, from an aligned position, the sampled ones.
  private static int loaded(HyperAttention attention, HyperSquares.Layout layout) {
    return layout.levels() == 0 ? 0 : Math.addExact(sampleBase(layout), attention.sampleSize());
  }

  private static int sampleBase(HyperSquares.Layout layout) {
    int keys = Math.multiplyExact(groupBlocks(layout), layout.block());
    int alignment = KeyPanels.alignment();
    return Math.multiplyExact(Math.ceilDiv(keys, alignment), alignment);
  }

  /// The squares, with the codes of the last forward pass.
  HyperSquares squares() {
    return squares;
  }

  @Override
  protected void compute(Tensor output) {
    if (layout.leaf() > 0) {
      workers.run(leaves.length, pack);
      workers.run(shape.problems() * Math.ceilDiv(n, rows), leaf);
    }
    if (layout.levels() > 0) {
      workers.run(shape.problems() * Math.ceilDiv(n, HASH_ROWS), hash);
    }
    for (level = 0; level < layout.levels(); level++) {
      squares.level(level);
      int perProblem = layout.squares(level);
      float weight = (float) Math.log((double) layout.length(level) / Math.max(1, samples));
      Arrays.fill(shift, weight);
      workers.run(shape.problems() * perProblem, sort);
      int groups = Math.ceilDiv(layout.blocks(level), groupBlocks);
      workers.run(shape.problems() * perProblem * groups, group);
    }
    workers.run(shape.problems(), divide);
  }

  private void hash(int worker, int index) {
    int blocks = Math.ceilDiv(n, HASH_ROWS);
    int first = index % blocks * HASH_ROWS;
    int end = Math.min(n, first + HASH_ROWS);
    squares.hash(index / blocks, first, end, input("q"), input("k"), input("projections"));
  }

  private void pack(int worker, int problem) {
    leaves[problem].pack(input("k"), problem * n * d, d, n, 0);
  }

  /// Exact attention of some rows inside their leaves.
  private void leaf(int worker, int index) {
    int blocks = Math.ceilDiv(n, rows);
    int problem = index / blocks;
    int first = index % blocks * rows;
    int count = Math.min(rows, n - first);
    for (int r = 0; r < count; r++) {
      low[worker][r] = layout.causal() ? layout.leafStart(first + r) : 0;
      high[worker][r] = layout.causal() ? first + r + 1 : n;
    }
    int row = problem * n + first;
    SoftmaxTile tile = tiles[worker];
    tile.begin(input("q"), row * d, d, count, scale);
    tile.attend(
        leaves[problem],
        input("v"),
        problem * n * dv,
        dv,
        low[worker][0],
        high[worker][count - 1],
        low[worker],
        0,
        high[worker],
        0);
    tile.suspend(out, row * dv, dv, marks, row * MARKS, MARKS);
  }

  private void sort(int worker, int index) {
    int perProblem = layout.squares(level);
    squares.sort(worker, index / perProblem, index % perProblem, input("samples"));
  }

  /// Steps 3 to 5 of some neighbouring blocks of a square: their keys and the samples are gathered
  /// once.
  private void group(int worker, int index) {
    int groups = Math.ceilDiv(layout.blocks(level), groupBlocks);
    int square = index / groups % layout.squares(level);
    int problem = index / groups / layout.squares(level);
    int first = index % groups * groupBlocks;
    int end = Math.min(layout.blocks(level), first + groupBlocks);
    int from = squares.queriesBefore(problem, square, first);
    if (from == squares.queriesBefore(problem, square, end)) {
      return;
    }
    int keys = squares.first(problem, square);
    load(worker, problem, squares.keys(), keys + first * block, keysIn(first, end), 0);
    int sampled = layout.samples(level, samples);
    int base = sampleBase(layout);
    load(worker, problem, squares.sampled(), squares.firstSampled(problem, square), sampled, base);
    int missing = (end - first) * block - keysIn(first, end);
    panels[worker].pack(zeros, 0, d, missing, keysIn(first, end));
    int padding = keysIn(first, end) * dv;
    Arrays.fill(values[worker], padding, padding + missing * dv, 0);
    for (int a = first; a < end; a++) {
      int stop = squares.queriesBefore(problem, square, a + 1);
      for (int i = squares.queriesBefore(problem, square, a); i < stop; i += rows) {
        attend(worker, problem, square, a, a - first, i, Math.min(rows, stop - i));
      }
    }
  }

  private int keysIn(int firstBlock, int endBlock) {
    return Math.min(layout.length(level), endBlock * block) - firstBlock * block;
  }

  private void load(int worker, int problem, int[] tokens, int from, int count, int at) {
    panels[worker].gather(input("k"), problem * n * d, d, tokens, from, count, at);
    for (int s = 0; s < count; s++) {
      int row = problem * n + tokens[from + s];
      System.arraycopy(input("v"), row * dv, values[worker], (at + s) * dv, dv);
    }
  }

  /// Some queries of a block.
  private void attend(
      int worker, int problem, int square, int a, int inGroup, int from, int count) {
    int[] tokens = squares.queries();
    int index = squares.first(problem, square) + from;
    SoftmaxTile tile = tiles[worker];
    tile.begin(input("q"), problem * n * d, d, tokens, index, count, scale);
    if (layout.causal()) {
      tile.resume(out, problem * n * dv, dv, tokens, index, marks, problem * n * MARKS, MARKS);
    }
    KeyPanels keys = panels[worker];
    float[] v = values[worker];
    tile.attend(keys, v, 0, dv, inGroup * block, (inGroup + 1) * block);
    int sampled = layout.samples(level, samples);
    if (sampled > 0) {
      boolean all = !attention.maskOwnBlock();
      int before = all ? sampled : squares.sampledBefore(problem, square, a);
      int after = all ? sampled : squares.sampledBefore(problem, square, a + 1);
      int base = sampleBase(layout);
      if (before > 0) {
        tile.attendBiased(keys, v, 0, dv, base, base + before, shift, 0, 0);
      }
      if (after < sampled) {
        tile.attendBiased(keys, v, 0, dv, base + after, base + sampled, shift, 0, 0);
      }
    }
    tile.suspend(out, problem * n * dv, dv, tokens, index, marks, problem * n * MARKS, MARKS);
  }

  /// Divides by the sums of the weights.
  private void divide(int worker, int problem) {
    float[] sums = lse;
    for (int row = problem * n; row < (problem + 1) * n; row++) {
      float sum = marks[row * MARKS];
      kernels.scale(dv, sum == 0 ? 0 : 1 / sum, out, row * dv, out, row * dv);
      if (sums != null) {
        double reference = marks[row * MARKS + 1] * Math.log(2);
        sums[row] = sum == 0 ? Float.NEGATIVE_INFINITY : (float) (reference + Math.log(sum));
      }
    }
  }
}
