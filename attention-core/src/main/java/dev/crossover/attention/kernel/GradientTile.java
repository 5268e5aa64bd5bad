// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import org.jspecify.annotations.Nullable;

/// Gradients of softmax attention for one block of query rows over any stream of keys, the backward
/// pass of [SoftmaxTile] (Dao et al., arXiv:2205.14135, algorithm 4):
///
/// ```
/// tile.head(q, ∂out, L, D, ∂q, scale)        the rows of a query head
/// tile.rows(which rows)                      starts a block
/// tile.see(row, from, to)                    for every row
/// tile.attend(keys)                          any number of times, each with intervals of its own
/// tile.finish()                              adds ∂q
/// ```
///
/// with L the log-sum-exp of all scores of a row and D the product of its ∂out and out:
///
/// ```
/// p_ij = exp(s_ij − L_i)      ds_ij = p_ij (∂out_i · v_j − D_i)
/// ∂q_i += scale Σ_j ds_ij k_j      ∂k_j += scale Σ_i ds_ij q_i      ∂v_j += Σ_i p_ij ∂out_i
/// ```
///
/// What was attended twice must be attended twice here. A pair that a row may not see changes no
/// gradient, not even when it holds NaN. One instance belongs to one worker.
public final class GradientTile implements RowIntervals {
  private final GradientEngine engine;
  private final GradientRows rows;
  private final Kernels kernels = Kernels.get();
  private final int[] low;
  private final int[] high;
  private final int[] firstPlace;
  private final int[] lastPlace;
  private final int[] numbers;
  private float[] q = new float[0];
  private int qo;
  private float[] gradOut = q;
  private int goo;
  private float[] lse = q;
  private float[] delta = q;
  private int ro;
  private float @Nullable [] factor;
  private float @Nullable [] gradQuery;
  private int gqo;
  private float scale;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows in a block
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public GradientTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    rows = new GradientRows(scratch, maxRows, dim, valueDim);
    engine =
        KernelSelection.VECTOR
            ? new VectorGradients(scratch, maxRows, dim, valueDim)
            : new ScalarGradients();
    low = scratch.ints(maxRows);
    high = scratch.ints(maxRows);
    firstPlace = scratch.ints(maxRows);
    lastPlace = scratch.ints(maxRows);
    numbers = scratch.ints(maxRows);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxRows, int dim, int valueDim) {
    long engine = KernelSelection.VECTOR ? VectorGradients.bytes(maxRows, dim, valueDim) : 0;
    return engine + GradientRows.bytes(maxRows, dim, valueDim) + 5L * maxRows * Integer.BYTES;
  }

  /// Number of query rows that fill a block well; a good `maxRows`.
  public static int preferredRows() {
    return KernelSelection.VECTOR ? VectorGradients.preferredRows() : 64;
  }

  /// Takes the rows of a query head.
  ///
  /// @param newQ row i starts at `newQo + i * dim`
  /// @param newGradOut row i starts at `newGoo + i * valueDim`
  /// @param newLse log-sum-exp of row i, at `newRo + i`
  /// @param newDelta D of row i, at `newRo + i`
  /// @param newFactor what ∂out and D of row i are to be multiplied with, at `newRo + i`; null for
  ///     1
  /// @param newGradQuery row i starts at `newGqo + i * dim`; null where it is not wanted
  /// @param newScale factor on the dot products
  public void head(
      float[] newQ,
      int newQo,
      float[] newGradOut,
      int newGoo,
      float[] newLse,
      float[] newDelta,
      float @Nullable [] newFactor,
      int newRo,
      float @Nullable [] newGradQuery,
      int newGqo,
      float newScale) {
    q = newQ;
    qo = newQo;
    gradOut = newGradOut;
    goo = newGoo;
    lse = newLse;
    delta = newDelta;
    factor = newFactor;
    ro = newRo;
    gradQuery = newGradQuery;
    gqo = newGqo;
    scale = newScale;
  }

  /// Starts a block of rows that are `step` apart.
  public void rows(int first, int step, int count) {
    for (int r = 0; r < count; r++) {
      numbers[r] = first + r * step;
    }
    begin(count);
  }

  /// Starts a block of the rows `index[from] … index[from + count - 1]`.
  public void rows(int[] index, int from, int count) {
    System.arraycopy(index, from, numbers, 0, count);
    begin(count);
  }

  private void begin(int count) {
    rows.begin(count, scale);
    float[] factors = factor;
    for (int r = 0; r < count; r++) {
      int i = numbers[r];
      int go = goo + i * rows.valueDim;
      if (factors == null) {
        rows.take(r, q, qo + i * rows.dim, gradOut, go, lse[ro + i], delta[ro + i]);
      } else {
        float times = factors[ro + i];
        rows.take(r, q, qo + i * rows.dim, gradOut, go, lse[ro + i], times * delta[ro + i]);
        rows.scaleGradOut(r, times);
      }
    }
    engine.begin(rows);
    rows.finish();
  }

  /// Number of query rows in the block.
  public int rows() {
    return rows.count;
  }

  /// Row r of the block sees the positions `from … to - 1` from now on; none if `from >=
  /// to`.
  @Override
  public void see(int r, int from, int to) {
    low[r] = from;
    high[r] = Math.max(from, to);
  }

  /// Adds the gradients of all pairs that the rows see.
  public void attend(GradientKeys keys) {
    attend(keys, 0, keys.positions(), null, 0, 0);
  }

  /// Adds the gradients of the pairs that the rows see among the positions `from … to - 1`.
  public void attend(GradientKeys keys, int from, int to) {
    attend(keys, from, to, null, 0, 0);
  }

  /// Adds the gradients of the pairs that the rows see among the positions `from … to - 1`, all of
  /// which must have a place, with what was added to their scaled scores; −∞ hides a pair.
  ///
  /// @param bias the addition for row r and position j is at `bo + r * ldb + (j - from)`
  public void attendBiased(GradientKeys keys, int from, int to, float[] bias, int bo, int ldb) {
    attend(keys, from, to, bias, bo, ldb);
  }

  private void attend(
      GradientKeys keys, int from, int to, float @Nullable [] bias, int bo, int ldb) {
    int begin = Integer.MAX_VALUE;
    int end = 0;
    for (int r = 0; r < rows.count; r++) {
      int a = Math.max(from, low[r]);
      int b = Math.min(to, high[r]);
      if (a < b) {
        begin = Math.min(begin, a);
        end = Math.max(end, b);
      }
    }
    if (begin >= end) {
      return;
    }
    for (int r = 0; r < rows.count; r++) {
      int a = Math.clamp(low[r], begin, end);
      int b = Math.clamp(high[r], a, end);
      firstPlace[r] = keys.place(a);
      lastPlace[r] = keys.place(b);
    }
    engine.attend(
        rows,
        keys,
        keys.place(begin),
        keys.place(end),
        firstPlace,
        lastPlace,
        bias,
        bo + begin - from,
        ldb);
  }

  /// Adds ∂q of the block, which is empty afterwards.
  public void finish() {
    float[] sums = gradQuery;
    for (int r = 0; r < rows.count && sums != null; r++) {
      int to = gqo + numbers[r] * rows.dim;
      kernels.axpy(rows.dim, scale, rows.gradQuery, r * rows.stride, sums, to);
    }
    rows.count = 0;
  }
}
