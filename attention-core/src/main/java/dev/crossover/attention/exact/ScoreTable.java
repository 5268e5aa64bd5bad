// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.BoundTensors;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.AlibiForm;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Tiles of scores under [ScoreOptions]: rows of normed and rotated queries times keys, capped,
/// biased, −∞ where a query may not see a key.
///
/// Bound once per call; one instance serves all workers, each with a tile of its own.
final class ScoreTable {
  /// Queries of a tile.
  static final int ROWS = 64;

  /// Keys of a tile.
  static final int COLUMNS = 128;

  final ScoreOptions options;
  final AttentionShape shape;
  final Mask mask;
  final float scale;

  /// Normed and rotated rows: queries, queries as sink tokens meet them, keys.
  final float[] queries;

  final float[] sinkQueries;
  final float[] keys;

  private final Kernels kernels = Kernels.get();
  private final int window;
  private final ScoreRows[] transform;
  private final float[] slopes;
  private final float[][] work;
  private float @Nullable [] bias;
  private float @Nullable [] queryWeight;
  private float @Nullable [] keyWeight;

  ScoreTable(
      Scratch scratch,
      AttentionShape shape,
      Mask mask,
      ScoreOptions options,
      double scale,
      int threads) {
    this.options = options;
    this.shape = shape;
    this.mask = mask;
    this.scale = (float) scale;
    window = options.windowSize().orElse(0);
    queries = scratch.floats(queryFloats(shape));
    sinkQueries = scratch.floats(options.sinksApart() ? queryFloats(shape) : 0);
    keys = scratch.floats(keyFloats(shape));
    slopes = scratch.floats(shape.numHeads());
    if (options.alibi() == Alibi.GEOMETRIC) {
      System.arraycopy(ScoreOptions.geometricSlopes(slopes.length), 0, slopes, 0, slopes.length);
    }
    transform = new ScoreRows[threads];
    work = new float[threads][];
    for (int t = 0; t < threads; t++) {
      transform[t] = new ScoreRows(scratch, options, shape.headDim());
      work[t] = scratch.floats(kernels.transposedBScratch(COLUMNS, shape.headDim()));
    }
  }

  static long bytes(AttentionShape s, ScoreOptions options, int threads) {
    long floats =
        queryFloats(s) * (options.sinksApart() ? 2 : 1)
            + keyFloats(s)
            + s.numHeads()
            + (long) threads * Kernels.get().transposedBScratch(COLUMNS, s.headDim());
    return floats * Float.BYTES + threads * ScoreRows.bytes(options, s.headDim());
  }

  private static long queryFloats(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen() * s.headDim();
  }

  private static long keyFloats(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen() * s.headDim();
  }

  /// Takes the tensors of a call.
  void bind(BoundTensors tensors) {
    bias = tensors.has("bias") ? tensors.get("bias") : null;
    queryWeight = tensors.has("q_norm_weight") ? tensors.get("q_norm_weight") : null;
    keyWeight = tensors.has("k_norm_weight") ? tensors.get("k_norm_weight") : null;
    if (options.alibi() == Alibi.GIVEN) {
      System.arraycopy(tensors.get("alibi_slopes"), 0, slopes, 0, slopes.length);
    }
    boolean given = tensors.has("rope_frequencies");
    for (ScoreRows rows : transform) {
      rows.frequencies(given ? tensors.get("rope_frequencies") : null);
    }
  }

  /// Position of query i.
  int position(int i) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    return i + (mask.isCausal() ? mask.causalOffset(nq, nk) : nk - nq);
  }

  /// Makes the rows of one query head.
  void query(int worker, int problem, float[] q) {
    int d = shape.headDim();
    for (int i = 0; i < shape.querySeqLen(); i++) {
      int at = (problem * shape.querySeqLen() + i) * d;
      transform[worker].forward(q, at, queryWeight, position(i), queries, at);
      if (options.sinksApart()) {
        int position = options.position(position(i), 0);
        transform[worker].forward(q, at, queryWeight, position, sinkQueries, at);
      }
    }
  }

  /// Makes the rows of one key/value head.
  void key(int worker, int head, float[] k) {
    int d = shape.headDim();
    for (int j = 0; j < shape.keySeqLen(); j++) {
      int at = (head * shape.keySeqLen() + j) * d;
      transform[worker].forward(k, at, keyWeight, j, keys, at);
    }
  }

  /// Adds the gradients of a query head's rows, of both kinds, to those of `q`.
  void queryBackward(
      int worker,
      int problem,
      float[] q,
      float[] gradRows,
      float[] gradSinkRows,
      float @Nullable [] gradQ,
      double @Nullable [] gradWeight) {
    int d = shape.headDim();
    for (int i = 0; i < shape.querySeqLen(); i++) {
      int at = (problem * shape.querySeqLen() + i) * d;
      transform[worker].backward(
          q, at, queryWeight, position(i), gradRows, at, gradQ, at, gradWeight, problem * d);
      if (options.sinksApart()) {
        int position = options.position(position(i), 0);
        transform[worker].backward(
            q, at, queryWeight, position, gradSinkRows, at, gradQ, at, gradWeight, problem * d);
      }
    }
  }

  /// Adds the gradients of a key/value head's rows to those of `k`.
  void keyBackward(
      int worker,
      int head,
      float[] k,
      float[] gradRows,
      float @Nullable [] gradK,
      double @Nullable [] gradWeight) {
    int d = shape.headDim();
    for (int j = 0; j < shape.keySeqLen(); j++) {
      int at = (head * shape.keySeqLen() + j) * d;
      transform[worker].backward(
          k, at, keyWeight, j, gradRows, at, gradK, at, gradWeight, head * d);
    }
  }

  /// First tile of keys that a block of rows sees besides sink tokens.
  int firstKey(int firstRow) {
    if (options.windowSize().isEmpty()) {
      return 0;
    }
    int low = position(firstRow) - options.windowSize().getAsInt() + 1;
    return Math.clamp(low, 0, shape.keySeqLen()) / COLUMNS * COLUMNS;
  }

  /// End of the keys that a block of rows sees besides sink tokens.
  int endKey(int lastRow) {
    int nk = shape.keySeqLen();
    int limit = mask.causalLimit(lastRow, shape.querySeqLen(), nk);
    if (options.windowSize().isEmpty()) {
      return limit;
    }
    return Math.clamp((long) position(lastRow) + options.windowSize().getAsInt(), 0, limit);
  }

  /// Whether a tile that starts at `from` belongs to a block of rows: a sink's, or within the
  /// window.
  int nextTile(int from, int first, int end) {
    if (from < first && from >= options.sinkTokens()) {
      return first;
    }
    return from >= end && from >= options.sinkTokens() ? Integer.MAX_VALUE : from;
  }

  /// Writes scores of `rows` queries from `first` and `columns` keys from `from`; row r starts at
  /// `r * COLUMNS`.
  ///
  /// @param slopesOfCap where given and there is a cap, receives 1 − tanh²
  void scores(
      int worker,
      int batch,
      int h,
      int first,
      int rows,
      int from,
      int columns,
      float[] s,
      float @Nullable [] slopesOfCap) {
    int d = shape.headDim();
    int head = batch * shape.numKeyValueHeads() + h / shape.groupSize();
    int query = ((batch * shape.numHeads() + h) * shape.querySeqLen() + first) * d;
    int key = (head * shape.keySeqLen() + from) * d;
    int apart = options.sinksApart() ? Math.clamp(options.sinkTokens() - from, 0, columns) : 0;
    product(worker, sinkQueries, query, rows, key, 0, apart, s);
    product(worker, queries, query, rows, key, apart, columns, s);
    float cap = (float) options.logitSoftcap().orElse(0);
    kernels.scale(rows * COLUMNS, scale, s, 0, s, 0);
    for (int r = 0; r < rows; r++) {
      int at = r * COLUMNS;
      if (cap > 0) {
        cap(columns, cap, s, at, slopesOfCap);
      }
      add(h, first + r, from, columns, s, at);
      hide(batch, first + r, from, columns, s, at);
    }
  }

  /// Adds the bias and ALiBi's term to one row.
  private void add(int h, int i, int from, int columns, float[] s, int at) {
    if (bias != null) {
      int bo = (h * shape.querySeqLen() + i) * shape.keySeqLen() + from;
      kernels.add(columns, s, at, bias, bo, s, at);
    }
    if (options.alibi() != Alibi.NONE) {
      int position = position(i);
      for (int c = 0; c < columns; c++) {
        s[at + c] -= slopes[h] * distance(position, from + c);
      }
    }
  }

  /// Writes −∞ where one row may not see.
  private void hide(int batch, int i, int from, int columns, float[] s, int at) {
    int nq = shape.querySeqLen();
    int nk = shape.keySeqLen();
    int limit = mask.causalLimit(i, nq, nk);
    long low = 0;
    long high = limit;
    if (window > 0) {
      low = (long) position(i) - window + 1;
      high = Math.min(limit, mask.isCausal() ? limit : (long) position(i) + window);
    }
    int sinks = Math.clamp(Math.min(options.sinkTokens(), limit) - (long) from, 0, columns);
    int start = Math.clamp(low - from, sinks, columns);
    int end = Math.clamp(high - from, sinks, columns);
    Arrays.fill(s, at + sinks, at + Math.max(start, sinks), Float.NEGATIVE_INFINITY);
    Arrays.fill(s, at + Math.max(end, sinks), at + columns, Float.NEGATIVE_INFINITY);
    for (int c = 0; mask.hasKeyPadding() && c < columns; c++) {
      if (!mask.isRealKey(batch, from + c)) {
        s[at + c] = Float.NEGATIVE_INFINITY;
      }
    }
  }

  private void product(
      int worker, float[] rowsOf, int query, int rows, int key, int start, int end, float[] s) {
    if (start < end) {
      int d = shape.headDim();
      kernels.multiplyTransposedB(
          rows,
          end - start,
          d,
          rowsOf,
          query,
          d,
          keys,
          key + start * d,
          d,
          s,
          start,
          COLUMNS,
          false,
          work[worker],
          0);
    }
  }

  private static void cap(
      int columns, float cap, float[] s, int at, float @Nullable [] slopesOfCap) {
    for (int c = at; c < at + columns; c++) {
      float t = (float) Math.tanh(s[c] / cap);
      s[c] = cap * t;
      if (slopesOfCap != null) {
        slopesOfCap[c] = 1 - t * t;
      }
    }
  }

  /// What ALiBi's slope is multiplied with, negated: the distance, or p − j.
  int distance(int position, int j) {
    int difference = options.position(position, j) - j;
    return options.alibiForm() == AlibiForm.DISTANCE ? Math.abs(difference) : difference;
  }
}
