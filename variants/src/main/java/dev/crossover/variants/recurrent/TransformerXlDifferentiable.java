// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.Workers;
import dev.crossover.attention.exact.ScoreTerms;
import dev.crossover.attention.exact.TiledBackward;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.ScoreTerm;
import dev.crossover.attention.kernel.SoftmaxGradient;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.variants.recurrent.TransformerXl.Positions;
import java.util.Arrays;

/// [TransformerXl] with its backward pass: that of exact attention over q + u, with the position
/// scores as a term that is computed tile by tile.
///
/// The positions' gradients are sums over the batch: one entry follows another. Where a head's work
/// is cut into parts, each has its own sums, which are added in order.
final class TransformerXlDifferentiable extends DifferentiablePlan {
  private static final int SKEWED_ROWS = 16;
  private static final int SPAN = 256;
  private static final int WINDOW = SPAN + SKEWED_ROWS;
  private static final int PROJECTED = 64;

  private final TransformerXl xl;
  private final Kernels kernels = Kernels.get();
  private final TransformerXlPlan forward;
  private final TiledBackward backward;
  private final int d = shape.headDim();
  private final int nq = shape.querySeqLen();
  private final int nk = shape.keySeqLen();
  private final int heads = shape.numHeads();
  private final int pitch = nk + TransformerXlPlan.ROW_GAP;
  private final float scale = (float) Attention.defaultScale(shape);
  private final int shares;
  private final float[] lse;
  private final float[] contentQueries;
  private final float[] gradContent;
  private final float[] gradKeys;
  private final float[] gradValues;

  /// `[shares, batch, heads, nq, d]`.
  private final float[] gradPosition;

  /// ∂rᵀ, `[shares, heads · d, pitch]`.
  private final float[] gradPositionKeys;

  /// `[batch, heads, 2 d]`: sums over rows for u and v.
  private final float[] sums;

  private final PositionTerm[] terms = new PositionTerm[threads()];
  private final ScoreTerms source = this::term;
  private final Workers.Task addContent = this::addContent;
  private final Workers.Task queryGradients = this::queryGradients;
  private final Workers.Task positionGradients = this::positionGradients;

  TransformerXlDifferentiable(TransformerXl xl, PlanRequest request) {
    super(request);
    this.xl = xl;
    lse = kept.floats(queries(shape));
    forward = new TransformerXlPlan(xl, request, kept, lse);
    scratch.include(forward.scratchBytes());
    backward = new TiledBackward(shape, mask, threads(), scale, true, scratch);
    shares = backward.shares();
    contentQueries = scratch.floats(queries(shape) * d);
    gradContent = scratch.floats(queries(shape) * d);
    gradKeys = scratch.floats(keys(shape) * d);
    gradValues = scratch.floats(keys(shape) * shape.valueDim());
    gradPosition = scratch.floats(shares * queries(shape) * d);
    gradPositionKeys = scratch.floats((long) shares * heads * d * pitch);
    sums = scratch.floats((long) shape.problems() * 2 * d);
    for (int t = 0; t < threads(); t++) {
      terms[t] = new PositionTerm();
    }
  }

  static GradientCost cost(TransformerXl xl, AttentionShape s, Mask mask, int threads) {
    long d = s.headDim();
    long pitch = s.keySeqLen() + TransformerXlPlan.ROW_GAP;
    long positions = s.numHeads() * d * pitch;
    int shares = TiledBackward.shares(s);
    long floats =
        (2 + shares) * queries(s) * d
            + keys(s) * (d + s.valueDim())
            + shares * positions
            + s.problems() * 2 * d
            + threads * (SoftmaxGradient.BLOCK * d + SKEWED_ROWS * (WINDOW + d) + work(s));
    double pairs = s.problems() * Cost.pairs(s, mask);
    double projection =
        xl.positions() == Positions.SINUSOID
            ? 2.0 * s.keySeqLen() * xl.modelWidth(s) * s.numHeads() * d
            : 0;
    return new GradientCost(
        TiledBackward.flops(s, mask) + pairs * 6.0 * d + projection,
        Float.BYTES * (queries(s) + positions),
        TransformerXlPlan.scratchBytes(xl, s, threads)
            - Float.BYTES * positions
            + TiledBackward.bytes(s, mask, threads, true)
            + Float.BYTES * floats);
  }

  private static int work(AttentionShape s) {
    Kernels kernels = Kernels.get();
    return Math.max(
        kernels.transposedBScratch(s.headDim(), WINDOW),
        kernels.transposedBScratch(PROJECTED, s.keySeqLen()));
  }

  private static long queries(AttentionShape s) {
    return (long) s.problems() * s.querySeqLen();
  }

  private static long keys(AttentionShape s) {
    return (long) s.batchSize() * s.numKeyValueHeads() * s.keySeqLen();
  }

  @Override
  protected void compute(Tensor output) {
    runNested(forward, output, Tensors.NONE);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    Arrays.fill(gradPosition, 0);
    Arrays.fill(gradPositionKeys, 0);
    workers.run(shape.problems(), addContent);
    backward.bind(contentQueries, input("k"), input("v"), output(), lse);
    backward.terms(source, true);
    backward.run(gradOut, gradContent, gradKeys, gradValues);
    workers.run(shape.problems(), queryGradients);
    add("k", gradKeys);
    add("v", gradValues);
    sumBias("content_bias", 0);
    sumBias("position_bias", d);
    String positions =
        xl.positions() == Positions.SINUSOID ? "position_projection" : "projected_positions";
    if (wantsGradient(positions)) {
      workers.run(Math.ceilDiv(heads * d, PROJECTED), positionGradients);
    }
  }

  private void add(String input, float[] computed) {
    if (wantsGradient(input)) {
      float[] sum = gradient(input);
      kernels.add(sum.length, sum, 0, computed, 0, sum, 0);
    }
  }

  /// q + u.
  private void addContent(int worker, int problem) {
    int bias = problem % heads * d;
    for (int row = problem * nq; row < (problem + 1) * nq; row++) {
      kernels.add(d, input("q"), row * d, input("content_bias"), bias, contentQueries, row * d);
    }
  }

  private ScoreTerm term(int worker, int batch, int head, int share) {
    PositionTerm term = terms[worker];
    term.problem = batch * heads + head;
    term.share = share;
    return term;
  }

  /// (q + v)·r / √d of a tile. Query i meets the key at position j in column `j + nq − 1 − i` of
  /// rᵀ, one further left for the next row: some rows at a time are one product with a window of
  /// columns.
  private final class PositionTerm implements ScoreTerm {
    private final float[] queries = scratch.floats((long) SoftmaxGradient.BLOCK * d);
    private final float[] skewed = scratch.floats((long) SKEWED_ROWS * WINDOW);
    private final float[] rows = scratch.floats((long) SKEWED_ROWS * d);
    private final float[] work = scratch.floats(work(shape));
    private int problem;
    private int share;

    @Override
    public void scores(
        int firstQuery, int count, int[] keys, int keyCount, float[] to, int at, int ld) {
      int bias = problem % heads * d;
      for (int r = 0; r < count; r++) {
        int q = (problem * nq + firstQuery + r) * d;
        kernels.add(d, input("q"), q, input("position_bias"), bias, queries, r * d);
      }
      kernels.scale(count * d, scale, queries, 0, queries, 0);
      for (int from = 0, end; from < keyCount; from = end) {
        end = segmentEnd(keys, from, keyCount);
        for (int r = 0; r < count; r += SKEWED_ROWS) {
          int some = Math.min(SKEWED_ROWS, count - r);
          scores(firstQuery, r, some, keys, from, end, to, at, ld);
        }
      }
    }

    /// End of the keys from `from` on that lie within [#SPAN] positions.
    private int segmentEnd(int[] keys, int from, int count) {
      int end = from + 1;
      while (end < count && keys[end] - keys[from] < SPAN) {
        end++;
      }
      return end;
    }

    /// First column that some rows and keys use.
    private int firstColumn(int query, int some, int key) {
      return key + nq - query - some;
    }

    private void scores(
        int firstQuery,
        int r,
        int some,
        int[] keys,
        int from,
        int end,
        float[] to,
        int at,
        int ld) {
      int start = firstColumn(firstQuery + r, some, keys[from]);
      int width = Math.min(keys[end - 1] - keys[from] + some, nk - start);
      kernels.multiply(
          some,
          Math.max(0, width),
          d,
          queries,
          r * d,
          d,
          forward.positionKeys,
          problem % heads * d * pitch + start,
          pitch,
          skewed,
          0,
          WINDOW,
          false);
      int least = xl.firstColumn(shape) - start;
      for (int row = 0; row < some; row++) {
        int shift = some - 1 - row - keys[from];
        int target = at + (r + row) * ld;
        for (int c = from; c < end; c++) {
          int column = keys[c] + shift;
          float score = column < width ? skewed[row * WINDOW + column] : 0;
          to[target + c] = column < least ? Float.NEGATIVE_INFINITY : score;
        }
      }
    }

    @Override
    public void gradients(
        int firstQuery, int count, int[] keys, int keyCount, float[] from, int at, int ld) {
      for (int key = 0, end; key < keyCount; key = end) {
        end = segmentEnd(keys, key, keyCount);
        for (int r = 0; r < count; r += SKEWED_ROWS) {
          int some = Math.min(SKEWED_ROWS, count - r);
          gradients(firstQuery, r, some, keys, key, end, from, at, ld);
        }
      }
    }

    private void gradients(
        int firstQuery,
        int r,
        int some,
        int[] keys,
        int key,
        int end,
        float[] from,
        int at,
        int ld) {
      int start = firstColumn(firstQuery + r, some, keys[key]);
      int width = Math.min(keys[end - 1] - keys[key] + some, nk - start);
      if (width <= 0) {
        return;
      }
      for (int row = 0; row < some; row++) {
        Arrays.fill(skewed, row * WINDOW, row * WINDOW + width, 0);
        int shift = some - 1 - row - keys[key];
        int source = at + (r + row) * ld;
        for (int c = key; c < end && keys[c] + shift < width; c++) {
          skewed[row * WINDOW + keys[c] + shift] = from[source + c];
        }
      }
      int columns = problem % heads * d * pitch + start;
      kernels.multiplyTransposedB(
          some,
          d,
          width,
          skewed,
          0,
          WINDOW,
          forward.positionKeys,
          columns,
          pitch,
          rows,
          0,
          d,
          false,
          work,
          0);
      int target = ((share * shape.problems() + problem) * nq + firstQuery + r) * d;
      kernels.axpy(some * d, scale, rows, 0, gradPosition, target);
      kernels.multiplyTransposedA(
          d,
          width,
          some,
          queries,
          r * d,
          d,
          skewed,
          0,
          WINDOW,
          gradPositionKeys,
          share * heads * d * pitch + columns,
          pitch,
          true);
    }
  }

  /// ∂(q + u) and ∂(q + v) of a head: their sum is ∂q, their sums over rows are those of u and v.
  private void queryGradients(int worker, int problem) {
    int sum = problem * 2 * d;
    Arrays.fill(sums, sum, sum + 2 * d, 0);
    int all = shape.problems() * nq * d;
    for (int at = problem * nq * d; at < (problem + 1) * nq * d; at += d) {
      for (int share = 1; share < shares; share++) {
        kernels.add(d, gradPosition, at, gradPosition, share * all + at, gradPosition, at);
      }
      kernels.add(d, sums, sum, gradContent, at, sums, sum);
      kernels.add(d, sums, sum + d, gradPosition, at, sums, sum + d);
      if (wantsGradient("q")) {
        float[] target = gradient("q");
        kernels.add(d, gradContent, at, gradPosition, at, gradContent, at);
        kernels.add(d, gradContent, at, target, at, target, at);
      }
    }
  }

  /// Sums a bias over one batch entry after another.
  private void sumBias(String name, int part) {
    for (int problem = 0; wantsGradient(name) && problem < shape.problems(); problem++) {
      float[] target = gradient(name);
      int to = problem % heads * d;
      kernels.add(d, target, to, sums, problem * 2 * d + part, target, to);
    }
  }

  /// Some rows of ∂rᵀ over their shares, and what they give: ∂W_r = Rᵀ ∂r, or ∂r itself.
  private void positionGradients(int worker, int index) {
    int first = index * PROJECTED;
    int count = Math.min(PROJECTED, heads * d - first);
    int all = heads * d * pitch;
    float[] sum = gradPositionKeys;
    for (int share = 1; share < shares; share++) {
      int from = share * all + first * pitch;
      kernels.add(count * pitch, sum, first * pitch, sum, from, sum, first * pitch);
    }
    if (xl.positions() == Positions.SINUSOID) {
      kernels.multiplyTransposedB(
          xl.modelWidth(shape),
          count,
          nk,
          forward.sinusoids,
          0,
          pitch,
          sum,
          first * pitch,
          pitch,
          gradient("position_projection"),
          first,
          heads * d,
          true,
          terms[worker].work,
          0);
    } else {
      float[] target = gradient("projected_positions");
      for (int row = first; row < first + count; row++) {
        for (int t = 0; t < nk; t++) {
          target[(row / d * nk + t) * d + row % d] += sum[row * pitch + t];
        }
      }
    }
  }
}
