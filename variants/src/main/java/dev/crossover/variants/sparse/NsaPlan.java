// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.select.BlockMeans;
import dev.crossover.attention.select.IntervalTile;
import dev.crossover.attention.select.SelectedBlocks;
import dev.crossover.attention.select.StridedPanels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The phases of [Nsa]: means, then compression and choice of blocks for all heads of a group, then
/// selection and window head by head.
final class NsaPlan extends AttentionPlan {
  private static final int CHOICE_ROWS = 64;

  /// Rows of a product with the means. Fewer would go to other kernels, so seldom that these would
  /// stay with the interpreter, to which vectors are objects: what is left of a group of queries is
  /// filled up, and the last queries join those before them if they are fewer.
  private static final int PRODUCT_ROWS = 4;

  private static final int MOST_ROWS = CHOICE_ROWS + PRODUCT_ROWS;

  private final Nsa attention;
  private final @Nullable Branches branches;
  private final Kernels kernels = Kernels.get();
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int b;
  private final int pitch;
  private final int chosenBefore;
  private final int queries;
  private final int parts;
  private final int choiceBlocks =
      n == 0 ? 0 : Math.max(1, Math.ceilDiv(n + 2 - PRODUCT_ROWS, CHOICE_ROWS));
  private final int rows = SoftmaxTile.preferredRows();
  private final int groups = shape.batchSize() * shape.numKeyValueHeads();
  private final float factor = (float) Attention.defaultScale(shape);
  private final StridedPanels[] panels = new StridedPanels[groups];
  private final float[] keyMeans;
  private final float[] valueMeans;
  private final int[] chosen;
  private final int[] limit;
  private final float[][] scores = new float[threads()][];
  private final float[][] importance = new float[threads()][];
  private final float[][] transposed = new float[threads()][];
  private final float[][] leftQueries = new float[threads()][];
  private final float[][] leftWeights = new float[threads()][];
  private final float[][] leftRows = new float[threads()][];
  private final SelectedBlocks[] selected = new SelectedBlocks[threads()];
  private final float[][] selection = new float[threads()][];
  private final IntervalTile[] tiles = new IntervalTile[threads()];
  private final float[][] window = new float[threads()][];
  private final Workers.Task pack = this::pack;
  private final Workers.Task choose = this::choose;
  private final Workers.Task attend = this::attend;

  /// What a backward pass needs of the three branches: outputs before their gates `[B,H,n,dv]` and
  /// log-sum-exps `[B,H,n]`.
  static final class Branches {
    final float[] compression;
    final float[] selection;
    final float[] window;
    final float[] compressionLse;
    final float[] selectionLse;
    final float[] windowLse;

    Branches(Scratch kept, AttentionShape s) {
      long rows = (long) s.problems() * s.querySeqLen();
      compression = kept.floats(rows * s.valueDim());
      selection = kept.floats(rows * s.valueDim());
      window = kept.floats(rows * s.valueDim());
      compressionLse = kept.floats(rows);
      selectionLse = kept.floats(rows);
      windowLse = kept.floats(rows);
    }

    /// Bytes the constructor allocates.
    static long bytes(AttentionShape s) {
      return 3L * Float.BYTES * s.problems() * s.querySeqLen() * (s.valueDim() + 1);
    }
  }

  /// @param branches where to keep what a backward pass needs; null for none
  NsaPlan(PlanRequest request, Nsa attention, @Nullable Branches branches) {
    super(request);
    this.attention = attention;
    this.branches = branches;
    b = attention.blockSize();
    pitch = BlockMeans.pitch(attention.blocks(n));
    chosenBefore = attention.chosenBefore(n);
    queries = SelectedBlocks.queriesAtOnce(b, n, chosenBefore);
    parts = queries == 0 ? 0 : Math.ceilDiv(n, queries);
    keyMeans = scratch.floats((long) groups * pitch * d);
    valueMeans = scratch.floats((long) groups * pitch * dv);
    chosen = scratch.ints((long) groups * n * chosenBefore);
    limit = scratch.ints(n);
    for (int i = 0; i < n; i++) {
      limit[i] = mask.causalLimit(i, n, n);
    }
    for (int g = 0; g < groups; g++) {
      panels[g] = new StridedPanels(scratch, n, 1, d);
    }
    for (int t = 0; t < threads(); t++) {
      scores[t] = scratch.floats((long) MOST_ROWS * pitch);
      importance[t] = scratch.floats(shape.groupSize() > 1 ? (long) MOST_ROWS * pitch : 0);
      transposed[t] = scratch.floats(transposeScratch(attention, shape));
      leftQueries[t] = scratch.floats((long) PRODUCT_ROWS * d);
      leftWeights[t] = scratch.floats((long) PRODUCT_ROWS * pitch);
      leftRows[t] = scratch.floats((long) PRODUCT_ROWS * dv);
      selected[t] = new SelectedBlocks(scratch, b, n, chosenBefore, d, dv);
      selection[t] = scratch.floats((long) queries * dv);
      tiles[t] = new IntervalTile(scratch, rows, d, dv);
      window[t] = scratch.floats((long) rows * dv);
    }
  }

  /// Bytes the constructor allocates.
  static long scratchBytes(Nsa attention, AttentionShape s, int threads) {
    int n = s.keySeqLen();
    int d = s.headDim();
    int dv = s.valueDim();
    int pitch = BlockMeans.pitch(attention.blocks(n));
    int before = attention.chosenBefore(n);
    int rows = SoftmaxTile.preferredRows();
    int queries = SelectedBlocks.queriesAtOnce(attention.blockSize(), n, before);
    long groups = (long) s.batchSize() * s.numKeyValueHeads();
    long shared = groups * (pitch * (long) (d + dv) + (long) n * before) + n;
    long words =
        ((s.groupSize() > 1 ? 2L : 1L) * MOST_ROWS + PRODUCT_ROWS) * pitch
            + transposeScratch(attention, s)
            + (long) (queries + rows) * dv
            + (long) PRODUCT_ROWS * (d + dv);
    long perThread =
        words * Float.BYTES
            + SelectedBlocks.bytes(attention.blockSize(), n, before, d, dv)
            + IntervalTile.bytes(rows, d, dv);
    return shared * Float.BYTES + groups * StridedPanels.bytes(n, 1, d) + threads * perThread;
  }

  private static int transposeScratch(Nsa attention, AttentionShape s) {
    return Kernels.get()
        .transposedBScratch(BlockMeans.pitch(attention.blocks(s.keySeqLen())), s.headDim());
  }

  /// k̄ of every key head, `[groups, pitch, d]`.
  float[] keyMeans() {
    return keyMeans;
  }

  /// v̄ of every key head, `[groups, pitch, dv]`.
  float[] valueMeans() {
    return valueMeans;
  }

  /// Chosen blocks of every key head and query, `[groups, n, chosenBefore]`.
  int[] chosen() {
    return chosen;
  }

  /// Number of keys that each query sees.
  int[] limit() {
    return limit;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(groups, pack);
    workers.run(groups * choiceBlocks, choose);
    workers.run(shape.problems() * parts, attend);
  }

  /// k̄, v̄ and the packed keys of a key head.
  private void pack(int worker, int group) {
    panels[group].pack(input("k"), group * n * d);
    BlockMeans.of(b, n, d, input("k"), group * n * d, keyMeans, group * pitch * d);
    BlockMeans.of(b, n, dv, input("v"), group * n * dv, valueMeans, group * pitch * dv);
  }

  /// Compression of some queries by all heads of a group, and the blocks they choose together.
  ///
  /// Queries are taken from the last one of a block on, where it becomes visible as a whole: those
  /// of one product then see the same blocks.
  private void choose(int worker, int index) {
    int group = index / choiceBlocks;
    int block = index % choiceBlocks;
    int first = Math.max(0, block * CHOICE_ROWS - 1);
    int count = (block == choiceBlocks - 1 ? n : (block + 1) * CHOICE_ROWS - 1) - first;
    float[] importance = scores[worker];
    for (int g = 0; g < shape.groupSize(); g++) {
      compress(worker, group, group * shape.groupSize() + g, first, count);
      if (shape.groupSize() > 1) {
        importance = this.importance[worker];
        addImportance(worker, g == 0, first, count);
      }
    }
    for (int r = 0; r < count; r++) {
      int own = Math.max(0, limit[first + r] - 1) / b;
      int to = (group * n + first + r) * chosenBefore;
      RowSelection.largest(own, chosenBefore, importance, r * pitch, chosen, to);
    }
  }

  private void addImportance(int worker, boolean isFirst, int first, int count) {
    float[] sum = importance[worker];
    for (int r = 0; r < count; r++) {
      int length = BlockMeans.pitch(limit[first + r] / b);
      if (isFirst) {
        System.arraycopy(scores[worker], r * pitch, sum, r * pitch, length);
      } else {
        kernels.add(length, scores[worker], r * pitch, sum, r * pitch, sum, r * pitch);
      }
    }
  }

  /// p and gate_compression · oc; leaves p in the scores, zeros up to a whole vector.
  private void compress(int worker, int group, int head, int first, int count) {
    float[] p = scores[worker];
    int columns = BlockMeans.pitch(limit[first + count - 1] / b);
    int q = (head * n + first) * d;
    int whole = count & -PRODUCT_ROWS;
    score(worker, group, whole, columns, input("q"), q, 0);
    if (whole < count) {
      System.arraycopy(input("q"), q + whole * d, leftQueries[worker], 0, (count - whole) * d);
      score(worker, group, PRODUCT_ROWS, columns, leftQueries[worker], 0, whole);
    }
    for (int from = 0; from < count; ) {
      int visible = limit[first + from] / b;
      int to = from;
      while (to < count && limit[first + to] / b == visible) {
        float lse = softmax(visible, p, to * pitch);
        if (branches != null) {
          branches.compressionLse[head * n + first + to] = lse;
        }
        to++;
      }
      mix(worker, group, to - from, visible, from * pitch, (head * n + first + from) * dv);
      from = to;
    }
    float[] gate = input("gate_compression");
    for (int r = 0; r < count; r++) {
      int o = (head * n + first + r) * dv;
      if (branches != null) {
        System.arraycopy(out, o, branches.compression, o, dv);
      }
      kernels.scale(dv, gate[head * n + first + r], out, o, out, o);
    }
  }

  /// q · k̄ of some queries, to rows of the scores.
  private void score(int worker, int group, int rows, int columns, float[] from, int q, int row) {
    kernels.multiplyTransposedB(
        rows,
        columns,
        d,
        from,
        q,
        d,
        keyMeans,
        group * pitch * d,
        d,
        scores[worker],
        row * pitch,
        pitch,
        false,
        transposed[worker],
        0);
  }

  /// p · v̄ of queries that see the same blocks.
  private void mix(int worker, int group, int rows, int visible, int at, int o) {
    if (visible == 0) {
      Arrays.fill(out, o, o + rows * dv, 0);
      return;
    }
    int whole = rows & -PRODUCT_ROWS;
    weigh(group, whole, visible, scores[worker], at, out, o);
    int left = rows - whole;
    if (left > 0) {
      System.arraycopy(scores[worker], at + whole * pitch, leftWeights[worker], 0, left * pitch);
      weigh(group, PRODUCT_ROWS, visible, leftWeights[worker], 0, leftRows[worker], 0);
      System.arraycopy(leftRows[worker], 0, out, o + whole * dv, left * dv);
    }
  }

  private void weigh(int group, int rows, int visible, float[] p, int at, float[] to, int o) {
    int means = group * pitch * dv;
    kernels.multiply(rows, dv, visible, p, at, pitch, valueMeans, means, dv, to, o, dv, false);
  }

  /// Softmax of scores, not yet scaled, in whole vectors: a tail costs more than what it saves.
  ///
  /// @return their log-sum-exp where branches are kept
  private float softmax(int visible, float[] p, int at) {
    int length = BlockMeans.pitch(visible);
    Arrays.fill(p, at + visible, at + length, Float.NEGATIVE_INFINITY);
    kernels.scale(length, factor, p, at, p, at);
    float largest = branches == null ? 0 : kernels.max(length, p, at);
    kernels.softmax(length, p, at);
    // The largest weight is 1 / Σ exp(score − largest).
    return branches == null ? 0 : largest - (float) Math.log(kernels.max(length, p, at));
  }

  /// Selection and window of some consecutive queries of one head, added to the compression.
  private void attend(int worker, int index) {
    int head = index / parts;
    int group = head / shape.groupSize();
    int first = index % parts * queries;
    int count = Math.min(queries, n - first);
    int q = (head * n + first) * d;
    selected[worker].attend(
        input("q"),
        q,
        count,
        factor,
        panels[group].panels(),
        input("v"),
        group * n * dv,
        limit,
        first,
        chosen,
        (group * n + first) * chosenBefore,
        selection[worker],
        0);
    float[] gate = input("gate_selection");
    for (int r = 0; r < count; r++) {
      int row = head * n + first + r;
      float weight = gate[row] * selected[worker].inverse(r);
      kernels.axpy(dv, weight, selection[worker], r * dv, out, row * dv);
      if (branches != null) {
        float inverse = selected[worker].inverse(r);
        kernels.scale(dv, inverse, selection[worker], r * dv, branches.selection, row * dv);
        branches.selectionLse[row] = selected[worker].logSumExp(r);
      }
    }
    for (int from = 0; from < count; from += rows) {
      window(worker, head, group, first + from, Math.min(rows, count - from));
    }
  }

  private void window(int worker, int head, int group, int first, int count) {
    IntervalTile tile = tiles[worker];
    tile.begin(input("q"), (head * n + first) * d, d, count, factor);
    for (int r = 0; r < count; r++) {
      int seen = limit[first + r];
      tile.see(r, Math.max(0, seen - attention.windowSize()), seen);
    }
    tile.attend(panels[group].panels(), input("v"), group * n * dv, dv);
    float[] lse = branches == null ? null : branches.windowLse;
    tile.finish(window[worker], 0, dv, lse, head * n + first, 1);
    if (branches != null) {
      System.arraycopy(window[worker], 0, branches.window, (head * n + first) * dv, count * dv);
    }
    for (int r = 0; r < count; r++) {
      int row = head * n + first + r;
      kernels.axpy(dv, input("gate_window")[row], window[worker], r * dv, out, row * dv);
    }
  }
}
