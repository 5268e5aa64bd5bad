// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.recurrent.TransformerXl.Positions;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The steps of [TransformerXl] for one segment and its memory.
///
/// Column t of the position scores belongs to distance nk − 1 − t, so that query i meets key j in
/// column `t = j + nq − 1 − i`: one column further left for the next row. Columns from nk on are
/// keys after the query, columns below `nk − memory_length` are beyond `same_length`; both are −∞
/// for every row.
final class TransformerXlPlan extends AttentionPlan {
  private static final int KEYS = 512;
  private static final int POSITION_ROWS = 64;
  private static final int SKEWED_ROWS = 48;
  static final int ROW_GAP = 16;

  private final TransformerXl xl;
  private final Kernels kernels = Kernels.get();
  private final int rows = SoftmaxTile.preferredRows();
  private final int columns = KEYS + rows;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int modelWidth;
  private final float scale = (float) Attention.defaultScale(shape);
  private final int queryBlocks = Math.ceilDiv(nq, rows);
  private final int positionBlocks =
      Math.ceilDiv(shape.numHeads() * shape.headDim(), POSITION_ROWS);
  private final int pitch = nk + ROW_GAP;
  private final float[] lse;

  /// Rᵀ, `[model_dim, pitch]`.
  final float[] sinusoids;

  /// rᵀ, `[heads · d, pitch]`.
  final float[] positionKeys;

  private final KeyPanels[] panels = new KeyPanels[shape.batchSize() * shape.numKeyValueHeads()];
  private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
  private final float[][] contentQueries = new float[threads()][];
  private final float[][] positionQueries = new float[threads()][];
  private final float[][] positionScores = new float[threads()][];
  private final Workers.Task pack = this::pack;
  private final Workers.Task project = this::project;
  private final Workers.Task transpose = this::transpose;
  private final Workers.Task block = this::block;

  TransformerXlPlan(TransformerXl xl, PlanRequest request) {
    this(xl, request, null, new float[0]);
  }

  /// @param keep allocates what a backward pass reads; null: like all scratch
  /// @param lse written if it is not empty: log-sum-exp of every row's scores
  TransformerXlPlan(TransformerXl xl, PlanRequest request, @Nullable Scratch keep, float[] lse) {
    super(request);
    this.xl = xl;
    this.lse = lse;
    Scratch positionRows = keep == null ? scratch : keep;
    positionKeys = positionRows.floats((long) shape.numHeads() * shape.headDim() * pitch);
    modelWidth = xl.positions() == Positions.SINUSOID ? xl.modelWidth(shape) : 0;
    sinusoids = scratch.floats((long) modelWidth * pitch);
    for (int t = 0; t < nk && modelWidth > 0; t++) {
      xl.sinusoid(nk - 1 - t, modelWidth, sinusoids, t, pitch);
    }
    for (int p = 0; p < panels.length; p++) {
      panels[p] = new KeyPanels(scratch, nk, d);
    }
    for (int t = 0; t < threads(); t++) {
      tiles[t] = new SoftmaxTile(scratch, rows, d, dv);
      contentQueries[t] = scratch.floats((long) rows * d);
      positionQueries[t] = scratch.floats((long) rows * d);
      positionScores[t] = scratch.floats((long) rows * columns);
    }
  }

  /// What the constructor allocates.
  static long scratchBytes(TransformerXl xl, AttentionShape s, int threads) {
    long rows = SoftmaxTile.preferredRows();
    long width = xl.positions() == Positions.SINUSOID ? xl.modelWidth(s) : 0;
    long positions = (width + (long) s.numHeads() * s.headDim()) * (s.keySeqLen() + ROW_GAP);
    long panels =
        (long) s.batchSize() * s.numKeyValueHeads() * KeyPanels.bytes(s.keySeqLen(), s.headDim());
    long perThread =
        SoftmaxTile.bytes((int) rows, s.headDim(), s.valueDim())
            + Float.BYTES * rows * (2L * s.headDim() + KEYS + rows);
    return Float.BYTES * positions + panels + threads * perThread;
  }

  @Override
  protected void compute(Tensor output) {
    workers.run(panels.length, pack);
    if (xl.positions() == Positions.SINUSOID) {
      workers.run(positionBlocks, project);
    } else {
      workers.run(shape.numHeads(), transpose);
    }
    workers.run(shape.problems() * queryBlocks, block);
  }

  private void pack(int worker, int index) {
    panels[index].pack(input("k"), index * nk * d, d, nk, 0);
  }

  /// Rows of rᵀ = W_rᵀ Rᵀ, `[heads · d, nk]`.
  private void project(int worker, int index) {
    int width = shape.numHeads() * d;
    int first = index * POSITION_ROWS;
    kernels.multiplyTransposedA(
        Math.min(POSITION_ROWS, width - first),
        nk,
        modelWidth,
        input("position_projection"),
        first,
        width,
        sinusoids,
        0,
        pitch,
        positionKeys,
        first * pitch,
        pitch,
        false);
  }

  /// rᵀ of one head from given position keys.
  private void transpose(int worker, int h) {
    float[] given = input("projected_positions");
    for (int t = 0; t < nk; t++) {
      for (int c = 0; c < d; c++) {
        positionKeys[(h * d + c) * pitch + t] = given[(h * nk + t) * d + c];
      }
    }
  }

  /// One block of queries of one head over memory and segment.
  private void block(int worker, int index) {
    int problem = index / queryBlocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int first = index % queryBlocks * rows;
    int count = Math.min(rows, nq - first);
    addBiases(worker, problem, h, first, count);
    tiles[worker].begin(contentQueries[worker], 0, d, count, scale);
    int begin = xl.firstKey(shape, first);
    int end = mask.causalLimit(first + count - 1, nq, nk);
    for (int from = mask.nextReal(batch, begin, end); from < end; ) {
      int to = mask.nextPadding(batch, from, Math.min(end, from + KEYS));
      positionScores(worker, h, first, count, from, to);
      tiles[worker].attendBiased(
          panels[batch * shape.numKeyValueHeads() + h / shape.groupSize()],
          input("v"),
          shape.valueOffset(batch, h),
          dv,
          from,
          to,
          positionScores[worker],
          count - 1,
          columns - 1);
      from = mask.nextReal(batch, to, end);
    }
    int row = problem * nq + first;
    if (lse.length == 0) {
      tiles[worker].finish(out, row * dv, dv);
    } else {
      tiles[worker].finish(out, row * dv, dv, lse, row);
    }
  }

  /// q + u, and (q + v) / √d.
  private void addBiases(int worker, int problem, int h, int first, int count) {
    for (int r = 0; r < count; r++) {
      int q = (problem * nq + first + r) * d;
      kernels.add(d, input("q"), q, input("content_bias"), h * d, contentQueries[worker], r * d);
      kernels.add(d, input("q"), q, input("position_bias"), h * d, positionQueries[worker], r * d);
    }
    kernels.scale(count * d, scale, positionQueries[worker], 0, positionQueries[worker], 0);
  }

  /// (q + v)·r / √d of the columns that a block of queries and a run of keys span, some rows at a
  /// time, because later rows use columns further left.
  private void positionScores(int worker, int h, int first, int count, int from, int to) {
    float[] scores = positionScores[worker];
    int start = from + nq - first - count;
    int width = to - from + count - 1;
    int low = Math.clamp((long) xl.firstColumn(shape) - start, 0, width);
    int high = Math.clamp((long) nk - start, low, width);
    for (int r = 0; r < count; r++) {
      int row = r * columns;
      Arrays.fill(scores, row, row + low, Float.NEGATIVE_INFINITY);
      Arrays.fill(scores, row + high, row + width, Float.NEGATIVE_INFINITY);
    }
    for (int row = 0; row < count; row += SKEWED_ROWS) {
      int rowsHere = Math.min(SKEWED_ROWS, count - row);
      int left = Math.max(low, count - row - rowsHere);
      int right = Math.min(high, to - from + count - 1 - row);
      kernels.multiply(
          rowsHere,
          Math.max(0, right - left),
          d,
          positionQueries[worker],
          row * d,
          d,
          positionKeys,
          h * d * pitch + start + left,
          pitch,
          scores,
          row * columns + left,
          columns,
          false);
    }
  }
}
