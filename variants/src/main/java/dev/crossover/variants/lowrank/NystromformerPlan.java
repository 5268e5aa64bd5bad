// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.KeyPanels;
import dev.crossover.attention.kernel.SoftmaxMerge;
import dev.crossover.attention.kernel.SoftmaxTile;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.lowrank.Nystromformer.Init;
import dev.crossover.variants.lowrank.Nystromformer.MaskRule;
import dev.crossover.variants.lowrank.Nystromformer.SegmentRule;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The steps of [Nystromformer], in the order of the paper's algorithm 1.
///
/// K3 is streamed over segments of keys whose partial results are merged in order, so that one long
/// sequence fills all threads.
final class NystromformerPlan extends AttentionPlan {
  private static final int KEYS_PER_PACK = 512;
  private static final int KEYS_PER_SEGMENT = 8192;

  private final Nystromformer nystrom;
  private final Kernels kernels = Kernels.get();
  private final int rows = SoftmaxTile.preferredRows();
  private final int m;
  private final int d = shape.headDim();
  private final int dv = shape.valueDim();
  private final float factor = (float) Attention.defaultScale(shape);
  private final boolean exact;
  private final boolean maskedLandmarks;
  private final int segments;
  private final int landmarkBlocks;
  private final int queryBlocks;
  private final @Nullable Kept keep;

  /// q̃ of every head.
  final Landmarks[] queryLandmarks;

  /// k̃ of every head.
  final Landmarks[] keyLandmarks;

  private final KeyPanels[] landmarkKeys;

  /// K2, `[batch, heads, m, m]`.
  final double[] landmarkKernel;

  /// Largest column sum of each head's K2.
  final double[] largestColumnSum;

  private final double[] largestRowSum;
  private final float[] context;
  private final float[] logSums;

  /// Z K3 v, `[batch, heads, m, dv]`.
  final float[] mixed;

  private final float[] meanMixed;
  private final SoftmaxTile[] tiles = new SoftmaxTile[threads()];
  private final KeyPanels[] keys = new KeyPanels[threads()];
  private final float[][] queries = new float[threads()][];
  private final PseudoInverse[] inverses;
  private final double[][] sums;
  private final Landmarks.RealRows realQuery = this::isRealQuery;
  private final Landmarks.RealRows realKey = mask::isRealKey;
  private final Workers.Task takeLandmarks = this::takeLandmarks;
  private final Workers.Task streamKeys = this::streamKeys;
  private final Workers.Task solve = this::solve;
  private final Workers.Task block = this::block;
  private double scale;

  /// What a forward pass keeps for a backward pass besides landmarks, K2 and Z K3 v.
  ///
  /// @param scratch allocates what is kept
  /// @param context K3 v, `[batch, heads, m, dv]`
  /// @param contextLse log-sum-exp of its rows
  /// @param lse log-sum-exp of the rows of K1, or of exact attention
  /// @param attended the output without the convolution; empty without one
  record Kept(
      Scratch scratch, float[] context, float[] contextLse, float[] lse, float[] attended) {}

  NystromformerPlan(Nystromformer nystrom, PlanRequest request) {
    this(nystrom, request, null);
  }

  /// @param keep what to keep for a backward pass; null: nothing
  NystromformerPlan(Nystromformer nystrom, PlanRequest request, @Nullable Kept keep) {
    super(request);
    this.nystrom = nystrom;
    this.keep = keep;
    Scratch lasting = keep == null ? scratch : keep.scratch;
    m = nystrom.landmarks();
    exact = nystrom.isExact(shape);
    maskedLandmarks = nystrom.maskRule() == MaskRule.MASKED_LANDMARKS;
    segments = Math.ceilDiv(shape.keySeqLen(), KEYS_PER_SEGMENT);
    landmarkBlocks = Math.ceilDiv(m, rows);
    queryBlocks = Math.ceilDiv(shape.querySeqLen(), rows);
    int problems = exact ? 0 : shape.problems();
    queryLandmarks = new Landmarks[problems];
    keyLandmarks = new Landmarks[problems];
    landmarkKeys = new KeyPanels[problems];
    boolean front = nystrom.segmentRule() == SegmentRule.FRONT_PADDING;
    for (int p = 0; p < problems; p++) {
      queryLandmarks[p] = new Landmarks(lasting, m, d, shape.querySeqLen(), front);
      keyLandmarks[p] = new Landmarks(lasting, m, d, shape.keySeqLen(), front);
      landmarkKeys[p] = new KeyPanels(scratch, m, d);
    }
    landmarkKernel = lasting.doubles((long) problems * m * m);
    largestColumnSum = scratch.doubles(problems);
    largestRowSum = scratch.doubles(problems);
    context = scratch.floats((long) problems * segments * m * dv);
    logSums = scratch.floats((long) problems * segments * m);
    mixed = lasting.floats((long) problems * m * dv);
    meanMixed = scratch.floats((long) problems * dv);
    inverses = new PseudoInverse[exact ? 0 : threads()];
    sums = new double[inverses.length][];
    for (int t = 0; t < threads(); t++) {
      tiles[t] = new SoftmaxTile(scratch, rows, d, dv);
      keys[t] = new KeyPanels(scratch, KEYS_PER_PACK, d);
      queries[t] = scratch.floats((long) Math.max(rows, m) * d);
    }
    for (int t = 0; t < inverses.length; t++) {
      inverses[t] = new PseudoInverse(scratch, m);
      sums[t] = scratch.doubles(2L * dv);
    }
  }

  /// What the constructor allocates.
  static long scratchBytes(Nystromformer nystrom, AttentionShape s, int threads) {
    long m = nystrom.landmarks();
    int rows = SoftmaxTile.preferredRows();
    long problems = nystrom.isExact(s) ? 0 : s.problems();
    long segments = Math.ceilDiv(s.keySeqLen(), KEYS_PER_SEGMENT);
    long perProblem =
        2 * Landmarks.bytes(nystrom.landmarks(), s.headDim())
            + KeyPanels.bytes(nystrom.landmarks(), s.headDim())
            + Double.BYTES * (m * m + 2)
            + Float.BYTES * (segments * m * (s.valueDim() + 1) + (m + 1) * s.valueDim());
    long perThread =
        SoftmaxTile.bytes(rows, s.headDim(), s.valueDim())
            + KeyPanels.bytes(KEYS_PER_PACK, s.headDim())
            + Float.BYTES * Math.max(rows, m) * s.headDim()
            + (nystrom.isExact(s)
                ? 0
                : PseudoInverse.bytes(nystrom.landmarks()) + 2L * Double.BYTES * s.valueDim());
    return problems * perProblem + threads * perThread;
  }

  @Override
  protected void compute(Tensor output) {
    if (!exact) {
      workers.run(shape.problems(), takeLandmarks);
      workers.run(shape.problems() * segments * landmarkBlocks, streamKeys);
      scale = globalScale();
      workers.run(shape.problems(), solve);
    }
    workers.run(shape.problems() * queryBlocks, block);
  }

  /// q̃, k̃ and K2 of one head, equations (10) and (11).
  private void takeLandmarks(int worker, int problem) {
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    Landmarks q = queryLandmarks[problem];
    Landmarks k = keyLandmarks[problem];
    double eps = nystrom.eps();
    q.take(input("q"), shape.queryOffset(batch, h), batch, realQuery, maskedLandmarks, eps);
    k.take(input("k"), shape.keyOffset(batch, h), batch, realKey, maskedLandmarks, eps);
    toFloats(k, 0, m, queries[worker]);
    landmarkKeys[problem].pack(queries[worker], 0, d, m, 0);
    int kernel = problem * m * m;
    for (int a = 0; a < m; a++) {
      kernelRow(q, k, a, kernel + a * m);
    }
    sums(problem, kernel);
    if (wantsResult("landmark_kernel")) {
      write(landmarkKernel, kernel, result("landmark_kernel"), kernel);
    }
  }

  /// One row of K2 = softmax(q̃ k̃ᵀ / √d) in double precision; hidden rows are uniform.
  private void kernelRow(Landmarks q, Landmarks k, int a, int row) {
    double max = Double.NEGATIVE_INFINITY;
    for (int c = 0; c < m; c++) {
      double score = Double.NEGATIVE_INFINITY;
      if (isVisible(q, a) && isVisible(k, c)) {
        score = 0;
        for (int x = 0; x < d; x++) {
          score += q.mean[a * d + x] * k.mean[c * d + x];
        }
        score /= Math.sqrt(d);
      }
      landmarkKernel[row + c] = score;
      max = Math.max(max, score);
    }
    if (max == Double.NEGATIVE_INFINITY) {
      Arrays.fill(landmarkKernel, row, row + m, 1.0 / m);
      return;
    }
    double sum = 0;
    for (int c = 0; c < m; c++) {
      landmarkKernel[row + c] = Math.exp(landmarkKernel[row + c] - max);
      sum += landmarkKernel[row + c];
    }
    for (int c = 0; c < m; c++) {
      landmarkKernel[row + c] /= sum;
    }
  }

  /// Largest column sum and largest row sum of K2.
  private void sums(int problem, int kernel) {
    double column = 0;
    double row = 0;
    for (int a = 0; a < m; a++) {
      double columnSum = 0;
      double rowSum = 0;
      for (int c = 0; c < m; c++) {
        columnSum += landmarkKernel[kernel + c * m + a];
        rowSum += landmarkKernel[kernel + a * m + c];
      }
      column = Math.max(column, columnSum);
      row = Math.max(row, rowSum);
    }
    largestColumnSum[problem] = column;
    largestRowSum[problem] = row;
  }

  /// K3 v = softmax(q̃ kᵀ / √d) v of one block of landmarks over one segment of keys.
  private void streamKeys(int worker, int index) {
    int first = index % landmarkBlocks * rows;
    int count = Math.min(rows, m - first);
    int segment = index / landmarkBlocks % segments;
    int problem = index / landmarkBlocks / segments;
    toFloats(queryLandmarks[problem], first, count, queries[worker]);
    tiles[worker].begin(queries[worker], 0, d, count, factor);
    int from = segment * KEYS_PER_SEGMENT;
    stream(worker, problem, from, Math.min(from + KEYS_PER_SEGMENT, shape.keySeqLen()));
    int row = (problem * segments + segment) * m + first;
    tiles[worker].finish(context, row * dv, dv, logSums, row);
  }

  /// Lets the tile see the real keys of a range, packed in passing.
  private void stream(int worker, int problem, int begin, int end) {
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int source = shape.keyOffset(batch, h);
    int values = shape.valueOffset(batch, h);
    for (int from = mask.nextReal(batch, begin, end); from < end; ) {
      int to = mask.nextPadding(batch, from, Math.min(end, from + KEYS_PER_PACK));
      keys[worker].pack(input("k"), source + from * d, d, to - from, 0);
      tiles[worker].attend(keys[worker], input("v"), values + from * dv, dv, 0, to - from);
      from = mask.nextReal(batch, to, end);
    }
  }

  private double globalScale() {
    double column = 0;
    double row = 0;
    for (int p = 0; p < shape.problems(); p++) {
      column = Math.max(column, largestColumnSum[p]);
      row = Math.max(row, largestRowSum[p]);
    }
    return nystrom.init() == Init.GLOBAL_PRODUCT ? column * row : column;
  }

  /// Z (K3 v) of one head, equations (12) and (13).
  private void solve(int worker, int problem) {
    mergeSegments(problem);
    if (keep != null) {
      int first = problem * segments * m;
      System.arraycopy(context, first * dv, keep.context, problem * m * dv, m * dv);
      System.arraycopy(logSums, first, keep.contextLse, problem * m, m);
    }
    int kernel = problem * m * m;
    double s = scaleOf(problem);
    double[] z = inverses[worker].of(landmarkKernel, kernel, s, nystrom.iterations());
    if (wantsResult("pseudo_inverse")) {
      write(z, 0, result("pseudo_inverse"), kernel);
    }
    mix(problem, z, sums[worker]);
  }

  /// Scale of a head's first iterate.
  double scaleOf(int problem) {
    return nystrom.init() == Init.EXACT ? largestColumnSum[problem] : scale;
  }

  /// Z times K3 v, and the mean of its rows.
  private void mix(int problem, double[] z, double[] row) {
    int k3v = problem * segments * m * dv;
    Arrays.fill(row, dv, 2 * dv, 0);
    for (int a = 0; a < m; a++) {
      Arrays.fill(row, 0, dv, 0);
      for (int l = 0; l < m; l++) {
        double factor = z[a * m + l];
        for (int c = 0; c < dv; c++) {
          row[c] += factor * context[k3v + l * dv + c];
        }
      }
      for (int c = 0; c < dv; c++) {
        mixed[(problem * m + a) * dv + c] = (float) row[c];
        row[dv + c] += row[c] / m;
      }
    }
    for (int c = 0; c < dv; c++) {
      meanMixed[problem * dv + c] = (float) row[dv + c];
    }
  }

  /// Merges the segments of K3 v into the first; rows of hidden landmarks are uniform over all
  /// positions.
  private void mergeSegments(int problem) {
    int first = problem * segments * m;
    for (int a = 0; a < m; a++) {
      for (int g = 1; g < segments; g++) {
        int part = first + g * m + a;
        logSums[first + a] =
            SoftmaxMerge.merge(
                dv,
                context,
                (first + a) * dv,
                logSums[first + a],
                context,
                part * dv,
                logSums[part]);
      }
      if (!isVisible(queryLandmarks[problem], a)) {
        uniformRow(problem, (first + a) * dv);
      }
    }
  }

  private void uniformRow(int problem, int row) {
    int batch = problem / shape.numHeads();
    int values = shape.valueOffset(batch, problem % shape.numHeads());
    Arrays.fill(context, row, row + dv, 0);
    for (int j = 0; j < shape.keySeqLen(); j++) {
      if (mask.isRealKey(batch, j)) {
        kernels.add(dv, input("v"), values + j * dv, context, row, context, row);
      }
    }
    float inverse = 1f / keyLandmarks[problem].paddedLength();
    kernels.scale(dv, inverse, context, row, context, row);
  }

  /// K1 (Z K3 v) + conv(v) of one block of queries, equation (14).
  private void block(int worker, int index) {
    int problem = index / queryBlocks;
    int batch = problem / shape.numHeads();
    int first = index % queryBlocks * rows;
    int count = Math.min(rows, shape.querySeqLen() - first);
    int query = (problem * shape.querySeqLen() + first) * d;
    int o = (problem * shape.querySeqLen() + first) * dv;
    if (exact) {
      for (int r = 0; r < count; r++) {
        if (isRealQuery(batch, first + r)) {
          System.arraycopy(input("q"), query + r * d, queries[worker], r * d, d);
        } else {
          Arrays.fill(queries[worker], r * d, (r + 1) * d, 0);
        }
      }
      tiles[worker].begin(queries[worker], 0, d, count, factor);
      stream(worker, problem, 0, shape.keySeqLen());
      finish(worker, problem, first, o);
    } else {
      tiles[worker].begin(input("q"), query, d, count, factor);
      attendLandmarks(worker, problem);
      finish(worker, problem, first, o);
      for (int r = 0; r < count; r++) {
        if (!isRealQuery(batch, first + r)) {
          System.arraycopy(meanMixed, problem * dv, out, o + r * dv, dv);
        }
      }
    }
    if (nystrom.convKernelSize().isPresent()) {
      if (keep != null) {
        System.arraycopy(out, o, keep.attended, o, count * dv);
      }
      for (int r = 0; r < count; r++) {
        addConvolution(problem, first + r, o + r * dv);
      }
    }
  }

  private void finish(int worker, int problem, int first, int o) {
    if (keep == null) {
      tiles[worker].finish(out, o, dv);
    } else {
      tiles[worker].finish(out, o, dv, keep.lse, problem * shape.querySeqLen() + first);
    }
  }

  /// Lets the tile see the visible landmarks of the keys.
  private void attendLandmarks(int worker, int problem) {
    Landmarks k = keyLandmarks[problem];
    for (int from = 0; from < m; from++) {
      int to = from;
      while (to < m && isVisible(k, to)) {
        to++;
      }
      if (to > from) {
        tiles[worker].attend(landmarkKeys[problem], mixed, problem * m * dv, dv, from, to);
        from = to;
      }
    }
  }

  /// out[t] += Σ_j w[j] v[t + j − ⌊taps/2⌋] over real positions.
  private void addConvolution(int problem, int t, int o) {
    int batch = problem / shape.numHeads();
    int h = problem % shape.numHeads();
    int taps = nystrom.convKernelSize().orElse(0);
    for (int j = 0; j < taps; j++) {
      int position = t + j - taps / 2;
      if (position >= 0 && position < shape.keySeqLen() && mask.isRealKey(batch, position)) {
        kernels.axpy(
            dv,
            input("conv_weight")[h * taps + j],
            input("v"),
            shape.valueOffset(batch, h) + position * dv,
            out,
            o);
      }
    }
  }

  /// Whether a landmark has a real row, where that matters.
  boolean isVisible(Landmarks landmarks, int a) {
    return !maskedLandmarks || landmarks.realRows[a] > 0;
  }

  /// In self-attention padding marks queries too.
  boolean isRealQuery(int batch, int i) {
    return shape.querySeqLen() != shape.keySeqLen() || mask.isRealKey(batch, i);
  }

  private void toFloats(Landmarks landmarks, int first, int count, float[] target) {
    for (int e = 0; e < count * d; e++) {
      target[e] = (float) landmarks.mean[first * d + e];
    }
  }

  private void write(double[] source, int from, float[] target, int to) {
    for (int e = 0; e < m * m; e++) {
      target[to + e] = (float) source[from + e];
    }
  }
}
