// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.RowSelection;
import dev.crossover.attention.kernel.ScoreTile;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.select.LargestScores;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The passes of [Dsa]: index keys are packed, each row's keys chosen for all heads, then attended
/// to. The first rows, which see no more than k keys, choose all of them without being asked and go
/// through the fused softmax.
final class DsaPlan extends AttentionPlan {
  private static final int ATTENTION_ROWS = 32;
  private static final int SEGMENT = ScoreTile.SEGMENT;

  private final Kernels kernels = Kernels.get();
  private final int n = shape.keySeqLen();
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int indexHeads;
  private final int indexDim;
  private final float indexScale;
  private final float scale;
  private final int most;
  private final int topK;

  /// First row that sees more than k keys.
  private final int sparse;

  private final int indexRows = ScoreTile.rows(n);
  private final KeyPanels[] panels = new KeyPanels[shape.batchSize()];

  /// `[batch, n, most]`, ascending, and how many there are `[batch, n]`.
  private final int[] chosen;

  private final int[] counts;
  private final ScoreTile[] tiles = new ScoreTile[threads()];
  private final LargestScores[] largest = new LargestScores[threads()];
  private final float[][] scores = new float[threads()][];
  private final float[][] weights = new float[threads()][];
  private final int tileRows = SoftmaxTile.preferredRows();
  private final KeyPanels[] keys = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
  private final SoftmaxTile[] softmax = new SoftmaxTile[threads()];
  private final int[][] low = new int[threads()][];
  private final int[][] high = new int[threads()][];
  private final Workers.Task pack = this::pack;
  private final Workers.Task choose = this::choose;
  private final Workers.Task packKeys = this::packKeys;
  private final Workers.Task attendAll = this::attendAll;
  private final Workers.Task attend = this::attend;

  /// @param kept allocator of the chosen positions; null for this plan's own
  DsaPlan(PlanRequest request, Dsa attention, @Nullable Scratch kept) {
    super(request);
    indexHeads = attention.indexHeads(shape);
    indexDim = attention.indexDim(shape);
    indexScale = (float) attention.indexScaleFor(shape);
    scale = (float) attention.scaleFor(shape);
    most = attention.most(shape);
    topK = attention.topK();
    sparse = attention.firstSparse(shape, mask);
    Scratch lists = kept == null ? scratch : kept;
    chosen = lists.ints((long) shape.batchSize() * n * most);
    counts = lists.ints((long) shape.batchSize() * n);
    for (int b = 0; b < panels.length; b++) {
      panels[b] = new KeyPanels(scratch, n, indexDim);
    }
    for (int t = 0; t < threads(); t++) {
      tiles[t] = new ScoreTile(scratch, n, indexDim);
      largest[t] = new LargestScores(scratch, n);
      scores[t] = scratch.floats((long) indexRows * n);
      weights[t] = scratch.floats(most);
      softmax[t] = new SoftmaxTile(scratch, tileRows, d, dv);
      low[t] = scratch.ints(tileRows);
      high[t] = scratch.ints(tileRows);
    }
    for (int g = 0; g < keys.length; g++) {
      keys[g] = new KeyPanels(scratch, most, d);
    }
  }

  /// Bytes of the chosen positions.
  static long chosenBytes(Dsa attention, AttentionShape s) {
    return Integer.BYTES * (long) s.batchSize() * s.keySeqLen() * (attention.most(s) + 1L);
  }

  /// Bytes of everything else.
  static long scratchBytes(Dsa attention, AttentionShape s, int threads) {
    int n = s.keySeqLen();
    int indexDim = attention.indexDim(s);
    long floats = (long) ScoreTile.rows(n) * n + attention.most(s);
    int tileRows = SoftmaxTile.preferredRows();
    long perThread =
        ScoreTile.bytes(n, indexDim)
            + LargestScores.bytes(n)
            + floats * Float.BYTES
            + SoftmaxTile.bytes(tileRows, s.headDim(), s.valueDim())
            + 2L * tileRows * Integer.BYTES;
    long groups = (long) s.batchSize() * s.numKeyValueHeads();
    return s.batchSize() * KeyPanels.bytes(n, indexDim)
        + groups * KeyPanels.bytes(attention.most(s), s.headDim())
        + threads * perThread;
  }

  /// Positions that a row sees, ascending; those of row t of a batch entry start at [#first].
  int[] chosen() {
    return chosen;
  }

  int first(int batch, int t) {
    return (batch * n + t) * most;
  }

  /// How many keys a row sees.
  int count(int batch, int t) {
    return counts[batch * n + t];
  }

  @Override
  protected void compute(Tensor output) {
    if (sparse < n) {
      workers.run(panels.length, pack);
    }
    workers.run(shape.batchSize() * Math.ceilDiv(n, indexRows), choose);
    if (sparse > 0) {
      workers.run(keys.length, packKeys);
      workers.run(shape.problems() * Math.ceilDiv(sparse, tileRows), attendAll);
    }
    workers.run(shape.problems() * Math.ceilDiv(n - sparse, ATTENTION_ROWS), attend);
  }

  private void pack(int worker, int batch) {
    panels[batch].pack(input("index_key"), batch * n * indexDim, indexDim, n, 0);
  }

  /// I and S of some rows.
  private void choose(int worker, int index) {
    int blocks = Math.ceilDiv(n, indexRows);
    int batch = index / blocks;
    int first = index % blocks * indexRows;
    int rows = Math.min(indexRows, n - first);
    int reach = mask.causalLimit(first + rows - 1, n, n);
    float[] sums = scores[worker];
    if (first + rows > sparse) {
      for (int r = 0; r < rows; r++) {
        Arrays.fill(sums, r * n, r * n + reach, 0);
      }
      for (int j = 0; j < indexHeads; j++) {
        addHead(worker, batch, j, first, rows, reach);
      }
    }
    for (int r = 0; r < rows; r++) {
      int t = first + r;
      counts[batch * n + t] = t < sparse ? listAll(batch, t) : listBest(worker, batch, t, r);
    }
  }

  /// Lists all allowed keys of a row.
  private int listAll(int batch, int t) {
    int count = 0;
    int to = first(batch, t);
    for (int s = 0; s < mask.causalLimit(t, n, n); s++) {
      if (mask.isRealKey(batch, s)) {
        chosen[to + count++] = s;
      }
    }
    return count;
  }

  /// Lists the best allowed keys of a row, the r-th of the scores at hand.
  private int listBest(int worker, int batch, int t, int r) {
    float[] sums = scores[worker];
    int limit = mask.causalLimit(t, n, n);
    for (int s = 0; mask.hasKeyPadding() && s < limit; s++) {
      if (!mask.isRealKey(batch, s)) {
        sums[r * n + s] = Float.NEGATIVE_INFINITY;
      }
    }
    return largest[worker].keepFirst(sums, r * n, limit, topK, chosen, first(batch, t));
  }

  /// Adds index_weight relu(index_scale index_query · index_key) of one index head.
  private void addHead(int worker, int batch, int j, int first, int rows, int reach) {
    int row = (batch * indexHeads + j) * n + first;
    ScoreTile tile = tiles[worker];
    tile.compute(input("index_query"), row * indexDim, indexDim, rows, panels[batch], reach, 0, 0);
    for (int r = 0; r < rows; r++) {
      float weight = input("index_weight")[row + r];
      for (int from = 0; from < reach; from += SEGMENT) {
        int at = tile.start(r) + from / SEGMENT * tile.stride();
        int count = Math.min(SEGMENT, reach - from);
        RowSelection.addRelu(
            count, weight, indexScale, tile.scores(), at, scores[worker], r * n + from);
      }
    }
  }

  private void packKeys(int worker, int group) {
    keys[group].pack(input("k"), group * n * d, d, most, 0);
  }

  /// Outputs of some rows of a head that see all their keys.
  private void attendAll(int worker, int index) {
    int blocks = Math.ceilDiv(sparse, tileRows);
    int problem = index / blocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int first = index % blocks * tileRows;
    int count = Math.min(tileRows, sparse - first);
    for (int r = 0; r < count; r++) {
      high[worker][r] = mask.causalLimit(first + r, n, n);
    }
    int end = high[worker][count - 1];
    int group = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int values = shape.valueOffset(batch, h);
    SoftmaxTile tile = softmax[worker];
    tile.begin(input("q"), (problem * n + first) * d, d, count, scale);
    for (int from = mask.nextReal(batch, 0, end); from < end; ) {
      int to = Math.min(end, mask.nextPadding(batch, from, end));
      tile.attend(keys[group], input("v"), values, dv, from, to, low[worker], 0, high[worker], 0);
      from = mask.nextReal(batch, to, end);
    }
    tile.finish(out, (problem * n + first) * dv, dv);
  }

  /// Outputs of some rows of a head.
  private void attend(int worker, int index) {
    int blocks = Math.ceilDiv(n - sparse, ATTENTION_ROWS);
    int problem = index / blocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int first = sparse + index % blocks * ATTENTION_ROWS;
    int end = Math.min(n, first + ATTENTION_ROWS);
    for (int t = first; t < end; t++) {
      int count = weigh(batch, h, t, input("q"), input("k"), weights[worker]);
      RowSelection.mix(
          dv,
          count,
          weights[worker],
          chosen,
          first(batch, t),
          input("v"),
          shape.valueOffset(batch, h),
          out,
          (problem * n + t) * dv);
    }
  }

  /// The softmax of one row over its keys; how many they are.
  int weigh(int batch, int h, int t, float[] q, float[] k, float[] into) {
    int count = count(batch, t);
    int query = shape.queryOffset(batch, h) + t * d;
    int keys = shape.keyOffset(batch, h);
    int list = first(batch, t);
    for (int s = 0; s < count; s++) {
      into[s] = scale * kernels.dot(d, q, query, k, keys + chosen[list + s] * d);
    }
    kernels.softmax(count, into, 0);
    return count;
  }
}
