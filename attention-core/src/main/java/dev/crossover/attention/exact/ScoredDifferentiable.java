// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.ScoreOptions.Gate;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// [Tiled] under [ScoreOptions] with its backward pass. Keeps the log-sum-exp L of each row (the
/// sink's logit included) and the outputs o before the gate; scores are computed again.
///
/// ```
/// g = ∂out ∘ σ(gate);   D_i = g_i · o_i;   p_ij = exp(s_ij − L_i);   ds = p (g_i · v_j − D_i)
/// ∂v_j += Σ_i p_ij g_i;   ∂bias = ds;   ∂slope_h = −Σ ds │p_i − j│;   ∂sink_h = −Σ_i exp(sink − L_i) D_i
/// da = ds (1 − tanh²);   ∂q' += scale da k';   ∂k' += scale daᵀ q';   then back through rope and norm
/// ```
///
/// Parallel over key/value heads; with a bias one batch entry follows another.
final class ScoredDifferentiable extends DifferentiablePlan {
  private static final int ROWS = ScoreTable.ROWS;
  private static final int COLUMNS = ScoreTable.COLUMNS;

  private final ScoreOptions options;
  private final ScoreTable table;
  private final ScoredForward forward;
  private final Kernels kernels = Kernels.get();
  private final Tensor lse;
  private final float[] before;
  private final float[] gradBefore;
  private final float[] gradQueries;
  private final float[] gradSinkQueries;
  private final float[] gradKeys;
  private final double[] queryWeights;
  private final double[] keyWeights;
  private final double[] slopes;
  private final double[] sinks;
  private final float[][] scores;
  private final float[][] slopesOfCap;
  private final float[][] products;
  private final float[][] delta;
  private final float[][] work;
  private final Workers.Task head = this::head;
  private float[] g = new float[0];
  private float @Nullable [] gradValue;
  private float @Nullable [] gradBias;
  private float @Nullable [] gradQ;
  private float @Nullable [] gradK;
  private boolean queryWeighted;
  private boolean keyWeighted;
  private int firstHead;

  ScoredDifferentiable(PlanRequest request, ScoreOptions options, double scale) {
    super(request);
    this.options = options;
    int threads = request.threads();
    int d = shape.headDim();
    table = new ScoreTable(scratch, shape, mask, options, scale, threads);
    forward = new ScoredForward(scratch, table, workers);
    lse =
        Tensor.of(
            kept.floats((long) shape.problems() * shape.querySeqLen()),
            shape.batchSize(),
            shape.numHeads(),
            shape.querySeqLen());
    boolean gated = options.outputGate() != Gate.NONE;
    before = kept.floats(gated ? outputs(shape) : 0);
    gradBefore = scratch.floats(gated ? outputs(shape) : 0);
    gradQueries = scratch.floats(table.queries.length);
    gradSinkQueries = scratch.floats(table.sinkQueries.length);
    gradKeys = scratch.floats(table.keys.length);
    queryWeights = scratch.doubles((long) shape.problems() * d);
    keyWeights = scratch.doubles((long) keyHeads(shape) * d);
    slopes = scratch.doubles(shape.problems());
    sinks = scratch.doubles(shape.problems());
    scores = new float[threads][];
    slopesOfCap = new float[threads][];
    products = new float[threads][];
    delta = new float[threads][];
    work = new float[threads][];
    for (int t = 0; t < threads; t++) {
      scores[t] = scratch.floats(ROWS * COLUMNS);
      slopesOfCap[t] = scratch.floats(ROWS * COLUMNS);
      products[t] = scratch.floats(ROWS * COLUMNS);
      delta[t] = scratch.floats(ROWS);
      work[t] = scratch.floats(kernels.transposedBScratch(COLUMNS, shape.valueDim()));
    }
  }

  static GradientCost cost(AttentionShape s, Mask mask, ScoreOptions options, int threads) {
    boolean gated = options.outputGate() != Gate.NONE;
    long rows = (long) s.problems() * s.querySeqLen();
    long queries = rows * s.headDim() * (options.sinksApart() ? 2 : 1);
    long keys = (long) keyHeads(s) * s.keySeqLen() * s.headDim();
    long perThread =
        3L * ROWS * COLUMNS + ROWS + Kernels.get().transposedBScratch(COLUMNS, s.valueDim());
    long floats = (gated ? outputs(s) : 0) + queries + keys + threads * perThread;
    long doubles = ((long) s.problems() + keyHeads(s)) * s.headDim() + 2L * s.problems();
    double pairs = s.problems() * Cost.pairs(s, mask);
    return new GradientCost(
        pairs * (6.0 * s.headDim() + 4.0 * s.valueDim() + 12),
        Float.BYTES * (rows + (gated ? outputs(s) : 0)),
        ScoredPlan.scratchBytes(s, options, threads)
            + Float.BYTES * floats
            + Double.BYTES * doubles);
  }

  private static long outputs(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen() * s.valueDim();
  }

  private static int keyHeads(AttentionShape s) {
    return s.batchSize() * s.numKeyValueHeads();
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(inputs(), output.data(), lse.data());
    if (wantsResult("lse")) {
      System.arraycopy(lse.data(), 0, result("lse"), 0, lse.size());
    }
    if (options.outputGate() != Gate.NONE) {
      System.arraycopy(output.data(), 0, before, 0, before.length);
      OutputGate.apply(shape, input("output_gate"), options.gatePerHead(), output.data());
    }
  }

  @Override
  protected void differentiate(float[] gradOut) {
    boolean gated = options.outputGate() != Gate.NONE;
    if (gated) {
      OutputGate.backward(
          shape,
          input("output_gate"),
          options.gatePerHead(),
          before,
          gradOut,
          gradBefore,
          wanted("output_gate"));
    }
    g = gated ? gradBefore : gradOut;
    gradValue = wanted("v");
    gradBias = wanted("bias");
    gradQ = wanted("q");
    gradK = wanted("k");
    queryWeighted = wantsGradient("q_norm_weight");
    keyWeighted = wantsGradient("k_norm_weight");
    Arrays.fill(gradQueries, 0);
    Arrays.fill(gradSinkQueries, 0);
    Arrays.fill(gradKeys, 0);
    Arrays.fill(queryWeights, 0);
    Arrays.fill(keyWeights, 0);
    Arrays.fill(slopes, 0);
    Arrays.fill(sinks, 0);
    int rounds = gradBias == null ? 1 : shape.batchSize();
    for (int round = 0; round < rounds; round++) {
      firstHead = round * keyHeads(shape) / rounds;
      workers.run(keyHeads(shape) / rounds, head);
    }
    addSums("q_norm_weight", queryWeights, shape.headDim());
    addSums("k_norm_weight", keyWeights, shape.headDim());
    if (options.alibi() == Alibi.GIVEN) {
      addSums("alibi_slopes", slopes, shape.numHeads());
    }
    if (options.sinkLogit()) {
      addSums("sink_logit", sinks, shape.numHeads());
    }
  }

  /// Adds rows of `width` sums, one after the other.
  private void addSums(String input, double[] sums, int width) {
    float[] to = wanted(input);
    for (int c = 0; to != null && c < width; c++) {
      double sum = 0;
      for (int at = c; at < sums.length; at += width) {
        sum += sums[at];
      }
      to[c] += (float) sum;
    }
  }

  /// Everything of one key/value head.
  private void head(int worker, int index) {
    int keyHead = firstHead + index;
    int batch = keyHead / shape.numKeyValueHeads();
    int first = keyHead % shape.numKeyValueHeads() * shape.groupSize();
    for (int h = first; h < first + shape.groupSize(); h++) {
      int problem = batch * shape.numHeads() + h;
      for (int row = 0; row < shape.querySeqLen(); row += ROWS) {
        block(worker, batch, h, problem, row, Math.min(ROWS, shape.querySeqLen() - row));
      }
      table.queryBackward(
          worker,
          problem,
          input("q"),
          gradQueries,
          gradSinkQueries,
          gradQ,
          queryWeighted ? queryWeights : null);
    }
    table.keyBackward(
        worker, keyHead, input("k"), gradKeys, gradK, keyWeighted ? keyWeights : null);
  }

  /// One block of query rows over the tiles it sees.
  private void block(int worker, int batch, int h, int problem, int first, int rows) {
    int dv = shape.valueDim();
    int nq = shape.querySeqLen();
    int at = (problem * nq + first) * dv;
    float[] o = options.outputGate() == Gate.NONE ? output() : before;
    for (int r = 0; r < rows; r++) {
      float sum = lse.data()[problem * nq + first + r];
      boolean empty = sum == Float.NEGATIVE_INFINITY;
      float dot = empty ? 0 : kernels.dot(dv, g, at + r * dv, o, at + r * dv);
      delta[worker][r] = dot;
      if (options.sinkLogit() && !empty) {
        sinks[problem] -= Math.exp((double) input("sink_logit")[h] - sum) * dot;
      }
    }
    int low = table.firstKey(first);
    int end = table.endKey(first + rows - 1);
    int stop = Math.max(end, Math.min(options.sinkTokens(), shape.keySeqLen()));
    for (int from = table.nextTile(0, low, end);
        from < stop;
        from = table.nextTile(from + COLUMNS, low, end)) {
      tile(
          worker,
          batch,
          h,
          problem,
          first,
          rows,
          from,
          Math.min(COLUMNS, shape.keySeqLen() - from));
    }
  }

  private void tile(
      int worker, int batch, int h, int problem, int first, int rows, int from, int columns) {
    float[] p = scores[worker];
    float[] ds = products[worker];
    int d = shape.headDim();
    int dv = shape.valueDim();
    int nq = shape.querySeqLen();
    table.scores(worker, batch, h, first, rows, from, columns, p, slopesOfCap[worker]);
    int go = (problem * nq + first) * dv;
    int values = shape.valueOffset(batch, h) + from * dv;
    kernels.multiplyTransposedB(
        rows,
        columns,
        dv,
        g,
        go,
        dv,
        input("v"),
        values,
        dv,
        ds,
        0,
        COLUMNS,
        false,
        work[worker],
        0);
    for (int r = 0; r < rows; r++) {
      slopes(worker, h, problem, first + r, r * COLUMNS, from, columns, delta[worker][r]);
    }
    if (gradValue != null) {
      addTransposed(columns, dv, rows, p, g, go, gradValue, values);
    }
    if (gradBias != null) {
      for (int r = 0; r < rows; r++) {
        int bo = (h * nq + first + r) * shape.keySeqLen() + from;
        kernels.add(columns, gradBias, bo, ds, r * COLUMNS, gradBias, bo);
      }
    }
    if (options.logitSoftcap().isPresent()) {
      for (int e = 0; e < rows * COLUMNS; e++) {
        ds[e] = ds[e] == 0 ? 0 : ds[e] * slopesOfCap[worker][e];
      }
    }
    kernels.scale(rows * COLUMNS, table.scale, ds, 0, ds, 0);
    int apart = options.sinksApart() ? Math.clamp(options.sinkTokens() - from, 0, columns) : 0;
    int key = (batch * shape.numKeyValueHeads() + h / shape.groupSize()) * shape.keySeqLen() + from;
    int query = (problem * nq + first) * d;
    rows(rows, 0, apart, ds, key, table.sinkQueries, gradSinkQueries, query);
    rows(rows, apart, columns, ds, key, table.queries, gradQueries, query);
  }

  /// p and ds of one row; zero where it may not see, whatever the numbers there are.
  private void slopes(
      int worker, int h, int problem, int i, int at, int from, int columns, float dot) {
    float[] p = scores[worker];
    float[] ds = products[worker];
    float sum = lse.data()[problem * shape.querySeqLen() + i];
    int position = table.position(i);
    double slope = 0;
    for (int c = at; c < at + columns; c++) {
      if (p[c] == Float.NEGATIVE_INFINITY || sum == Float.NEGATIVE_INFINITY) {
        p[c] = 0;
        ds[c] = 0;
        continue;
      }
      p[c] = (float) Math.exp(p[c] - sum);
      ds[c] = p[c] * (ds[c] - dot);
      if (options.alibi() == Alibi.GIVEN) {
        slope -= (double) ds[c] * table.distance(position, from + c - at);
      }
    }
    slopes[problem] += slope;
  }

  /// ∂q' += ds · k' and ∂k' += dsᵀ · q' for some columns of a tile.
  private void rows(
      int rows,
      int start,
      int end,
      float[] ds,
      int key,
      float[] queries,
      float[] gradOfQueries,
      int query) {
    int d = shape.headDim();
    if (start >= end) {
      return;
    }
    int keys = (key + start) * d;
    if (Float.isFinite(kernels.largestMagnitude((end - start) * d, table.keys, keys))) {
      kernels.multiply(
          rows,
          d,
          end - start,
          ds,
          start,
          COLUMNS,
          table.keys,
          keys,
          d,
          gradOfQueries,
          query,
          d,
          true);
    } else {
      for (int e = 0; e < rows * (end - start); e++) {
        int r = e / (end - start);
        int c = e % (end - start);
        float slope = ds[r * COLUMNS + start + c];
        if (slope != 0) {
          kernels.axpy(d, slope, table.keys, keys + c * d, gradOfQueries, query + r * d);
        }
      }
    }
    addTransposed(end - start, d, rows, ds, start, queries, query, gradKeys, keys);
  }

  private void addTransposed(
      int columns, int width, int rows, float[] a, float[] b, int bo, float[] c, int co) {
    addTransposed(columns, width, rows, a, 0, b, bo, c, co);
  }

  /// C += Aᵀ · B, where a zero of A lets nothing of B through.
  private void addTransposed(
      int columns, int width, int rows, float[] a, int ao, float[] b, int bo, float[] c, int co) {
    if (Float.isFinite(kernels.largestMagnitude(rows * width, b, bo))) {
      kernels.multiplyTransposedA(
          columns, width, rows, a, ao, COLUMNS, b, bo, width, c, co, width, true);
      return;
    }
    for (int e = 0; e < rows * columns; e++) {
      int r = e / columns;
      int column = e % columns;
      float factor = a[ao + r * COLUMNS + column];
      if (factor != 0) {
        kernels.axpy(width, factor, b, bo + r * width, c, co + column * width);
      }
    }
  }
}
