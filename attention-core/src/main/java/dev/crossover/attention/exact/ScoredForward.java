// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The forward pass of exact attention under [ScoreOptions]: online softmax over tiles of scores,
/// those outside of every row's window and sinks left out.
final class ScoredForward {
  private final ScoreTable table;
  private final AttentionShape shape;
  private final Workers workers;
  private final Kernels kernels = Kernels.get();
  private final int blocks;
  private final float[][] scores;
  private final float[][] largest;
  private final float[][] sums;
  private final Workers.Task query = this::query;
  private final Workers.Task key = this::key;
  private final Workers.Task block = this::block;
  private float[] q = new float[0];
  private float[] k = q;
  private float[] v = q;
  private float[] out = q;
  private float @Nullable [] lse;
  private float @Nullable [] sink;

  ScoredForward(Scratch scratch, ScoreTable table, Workers workers) {
    this.table = table;
    this.workers = workers;
    shape = table.shape;
    blocks = Math.ceilDiv(shape.querySeqLen(), ScoreTable.ROWS);
    int threads = workers.threads();
    scores = new float[threads][];
    largest = new float[threads][];
    sums = new float[threads][];
    for (int t = 0; t < threads; t++) {
      scores[t] = scratch.floats(ScoreTable.ROWS * ScoreTable.COLUMNS);
      largest[t] = scratch.floats(ScoreTable.ROWS);
      sums[t] = scratch.floats(ScoreTable.ROWS);
    }
  }

  static long bytes(int threads) {
    return (long) threads * ScoreTable.ROWS * (ScoreTable.COLUMNS + 2) * Float.BYTES;
  }

  /// Computes outputs before the gate.
  ///
  /// @param newLse where given, receives the log-sum-exp of every row, the sink's logit included
  void run(BoundTensors tensors, float[] newOut, float @Nullable [] newLse) {
    q = tensors.get("q");
    k = tensors.get("k");
    v = tensors.get("v");
    sink = table.options.sinkLogit() ? tensors.get("sink_logit") : null;
    out = newOut;
    lse = newLse;
    table.bind(tensors);
    workers.run(shape.problems(), query);
    workers.run(shape.batchSize() * shape.numKeyValueHeads(), key);
    workers.run(shape.problems() * blocks, block);
  }

  private void query(int worker, int problem) {
    table.query(worker, problem, q);
  }

  private void key(int worker, int head) {
    table.key(worker, head, k);
  }

  private void block(int worker, int index) {
    int problem = index / blocks;
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int first = index % blocks * ScoreTable.ROWS;
    int rows = Math.min(ScoreTable.ROWS, shape.querySeqLen() - first);
    int dv = shape.valueDim();
    int o = (problem * shape.querySeqLen() + first) * dv;
    Arrays.fill(out, o, o + rows * dv, 0);
    Arrays.fill(largest[worker], Float.NEGATIVE_INFINITY);
    Arrays.fill(sums[worker], 0);
    int low = table.firstKey(first);
    int end = table.endKey(first + rows - 1);
    int stop = Math.max(end, Math.min(table.options.sinkTokens(), shape.keySeqLen()));
    for (int from = table.nextTile(0, low, end);
        from < stop;
        from = table.nextTile(from + ScoreTable.COLUMNS, low, end)) {
      int columns = Math.min(ScoreTable.COLUMNS, shape.keySeqLen() - from);
      table.scores(worker, batch, h, first, rows, from, columns, scores[worker], null);
      add(worker, batch, h, rows, from, columns, o);
    }
    finish(worker, problem, h, first, rows, o);
  }

  /// Takes a tile of scores into the rows' sums.
  private void add(int worker, int batch, int h, int rows, int from, int columns, int o) {
    float[] s = scores[worker];
    int dv = shape.valueDim();
    for (int r = 0; r < rows; r++) {
      int at = r * ScoreTable.COLUMNS;
      float most = kernels.max(columns, s, at);
      if (most == Float.NEGATIVE_INFINITY) {
        Arrays.fill(s, at, at + columns, 0);
        continue;
      }
      if (most > largest[worker][r]) {
        float keep = (float) Math.exp((double) largest[worker][r] - most);
        largest[worker][r] = most;
        sums[worker][r] *= keep;
        kernels.scale(dv, keep, out, o + r * dv, out, o + r * dv);
      }
      sums[worker][r] += kernels.exp(columns, 1, -largest[worker][r], s, at, s, at);
    }
    int values = shape.valueOffset(batch, h) + from * dv;
    if (Float.isFinite(kernels.largestMagnitude(columns * dv, v, values))) {
      kernels.multiply(
          rows, dv, columns, s, 0, ScoreTable.COLUMNS, v, values, dv, out, o, dv, true);
      return;
    }
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        float weight = s[r * ScoreTable.COLUMNS + c];
        if (weight != 0) {
          kernels.axpy(dv, weight, v, values + c * dv, out, o + r * dv);
        }
      }
    }
  }

  private void finish(int worker, int problem, int h, int first, int rows, int o) {
    int dv = shape.valueDim();
    for (int r = 0; r < rows; r++) {
      float sum = sums[worker][r];
      double total = sum == 0 ? Double.NEGATIVE_INFINITY : largest[worker][r] + Math.log(sum);
      double share = 1.0 / sum;
      if (sink != null && sum != 0) {
        // the sink's share of the denominator, without overflow on either side
        double beyond = sink[h] - total;
        share /= 1 + Math.exp(beyond);
        total += Math.log1p(Math.exp(Math.min(beyond, 700)));
        total = beyond > 700 ? sink[h] : total;
      }
      kernels.scale(dv, sum == 0 ? 0 : (float) share, out, o + r * dv, out, o + r * dv);
      float[] sumsOfRows = lse;
      if (sumsOfRows != null) {
        sumsOfRows[problem * shape.querySeqLen() + first + r] = (float) total;
      }
    }
  }
}
