// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Gradients of exact softmax attention for one key/value head and the query heads that share it,
/// from the saved log-sum-exp (Dao et al., arXiv:2205.14135, algorithm 4). With scores in units of
/// log 2:
///
/// ```
/// for each query head
///   D = rowsum(∂out ∘ out)
///   for each few panels of keys, for each block of query rows that see some of them
///     p  = 2^(q · kᵀ − lse)              the accumulators start at −lse
///     ds = p ∘ (∂out · vᵀ − D)           the accumulators start at −D
///     ∂q += ds · k;   ∂k += dsᵀ · q;   ∂v += pᵀ · ∂out
/// ∂q, ∂k times the scale
/// ```
///
/// A bias or a [ScoreTerm] that was added to the scaled scores is added to them here before p; its
/// gradient is ds.
///
/// Keys are packed real ones only, so padding never reaches a gradient. What causal order hides
/// does not either, although 0 · NaN is NaN: products read copies of q, ∂out and k in which a row
/// that is not finite is zero, and the p and ds of rows that see such numbers are set to NaN where
/// they see. One instance belongs to one worker and may take a part of a head's keys; the shares of
/// ∂q of all parts are then to be added.
public final class SoftmaxGradient {
  private static final float LOG2_E = (float) (1 / Math.log(2));
  private static final int BLOCK_GROUPS = 8;
  private static final int TILE = 256;
  private static final int ROWS = GradientRows.GROUP;

  /// Keys of a tile: a multiple of every panel and of ROWS, so that a block of ∂k rows never
  /// reaches into the next tile.
  private static final int SPAN = KeyPanels.alignment() == 32 ? 192 : 240;

  private static final int SHORT = GradientRows.SLACK;
  private static final int NAN_SLOPE = GradientRows.NAN_SLOPE;
  private static final int NAN_WEIGHT = GradientRows.NAN_WEIGHT;

  /// Largest number of query rows in a tile that a [ScoreTerm] is asked for.
  public static final int BLOCK = BLOCK_GROUPS * ROWS;

  private final Kernels kernels = Kernels.get();
  private final int dim;
  private final int valueDim;
  private final int keyStride;
  private final int valueStride;
  private final KeyPanels keyPanels;
  private final KeyPanels valuePanels;
  private final float[] keyRows;
  private final float[] queryRows;
  private final float[] gradOutRows;
  private final int[] faults;
  private final float[] query;
  private final float[] gradOut;
  private final float[] minusLse;
  private final float[] minusD;
  private final float[] p;
  private final float[] ds;
  /// What a term adds to the scores of a block, and the positions of its keys.
  private final float[] added;

  private final int[] columns;
  private final float[] gradQuery;
  private final float[] gradKey;
  private final float[] gradValue;
  private int @Nullable [] positions;
  private int firstPosition;
  private float @Nullable [] bias;
  private float @Nullable [] gradBias;
  private int biasAt;
  private int biasStride;
  private @Nullable ScoreTerm term;
  private int termRow;
  private int keys;

  /// @param scratch allocator
  /// @param nq number of query rows of a head
  /// @param nk largest number of keys
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  /// @param terms whether [#term] will be called
  public SoftmaxGradient(Scratch scratch, int nq, int nk, int dim, int valueDim, boolean terms) {
    long queries = GradientRows.padded(nq);
    this.dim = dim;
    this.valueDim = valueDim;
    keyStride = GradientKeys.stride(dim);
    valueStride = GradientKeys.stride(valueDim);
    keyPanels = new KeyPanels(scratch, nk, dim);
    valuePanels = new KeyPanels(scratch, nk, valueDim);
    keyRows = scratch.floats((long) nk * dim + SHORT);
    queryRows = scratch.floats((long) nq * dim + SHORT);
    gradOutRows = scratch.floats((long) nq * valueDim + SHORT);
    faults = scratch.ints(nq);
    query = scratch.floats(queries * dim + 16);
    gradOut = scratch.floats(queries * valueDim + 16);
    minusLse = scratch.floats(queries);
    minusD = scratch.floats(queries);
    p = scratch.floats((BLOCK + 1L) * TILE);
    ds = scratch.floats((BLOCK + 1L) * TILE);
    added = scratch.floats(terms ? (long) BLOCK * TILE : 0);
    columns = scratch.ints(terms ? TILE : 0);
    gradQuery = scratch.floats(queries * keyStride);
    gradKey = scratch.floats((nk + ROWS) * (long) keyStride);
    gradValue = scratch.floats((nk + ROWS) * (long) valueStride);
  }

  /// Bytes the constructor allocates.
  public static long bytes(int nq, int nk, int dim, int valueDim, boolean terms) {
    long queries = GradientRows.padded(nq);
    long floats =
        (long) nk * dim
            + (long) nq * (dim + valueDim + 1)
            + queries * (dim + valueDim + 2 + GradientKeys.stride(dim))
            + 32
            + 3 * SHORT
            + 2 * (BLOCK + 1L) * TILE
            + (nk + ROWS) * (long) (GradientKeys.stride(dim) + GradientKeys.stride(valueDim))
            + (terms ? (BLOCK + 1L) * TILE : 0);
    return KeyPanels.bytes(nk, dim) + KeyPanels.bytes(nk, valueDim) + floats * Float.BYTES;
  }

  /// Numbers of keys that make a good part of a head: multiples of this.
  public static int keyStep() {
    return SPAN;
  }

  /// Takes the real keys and values of the head and forgets everything before.
  ///
  /// @param index positions of the real keys from `from`, or null for positions 0 … count - 1
  public void begin(
      float[] k, int ko, float[] v, int vo, int @Nullable [] index, int from, int count) {
    keys = count;
    positions = index;
    firstPosition = from;
    bias = null;
    term = null;
    for (int j = 0; j < count; j++) {
      int row = index == null ? j : index[from + j];
      System.arraycopy(k, ko + row * dim, keyRows, j * dim, dim);
    }
    keyPanels.pack(keyRows, 0, dim, count, 0);
    GradientRows.clear(keyRows, dim, count);
    if (index == null) {
      valuePanels.pack(v, vo, valueDim, count, 0);
    } else {
      valuePanels.gather(v, vo, valueDim, index, from, count, 0);
    }
    Arrays.fill(gradKey, 0);
    Arrays.fill(gradValue, 0);
  }

  /// Takes the bias of the next query head and adds to its gradient, where queries see keys.
  ///
  /// @param rows `[nq, nk]` from `at`, one column per key of the head, hidden ones included; null
  ///     for no bias
  /// @param gradient shaped and placed like the bias; null where it is not wanted
  public void bias(float @Nullable [] rows, float @Nullable [] gradient, int at, int nk) {
    bias = rows;
    gradBias = gradient;
    biasAt = at;
    biasStride = nk;
  }

  /// Takes the term of the next query rows.
  ///
  /// @param newTerm computed tile by tile; null for none
  /// @param firstQuery position of the first of these rows
  public void term(@Nullable ScoreTerm newTerm, int firstQuery) {
    term = newTerm;
    termRow = firstQuery;
  }

  /// Column of the bias that belongs to a key taken.
  private int column(int key, int skip) {
    return positions == null ? skip + key : positions[firstPosition + key];
  }

  /// Adds one query head's share, and to its own gradient that of the keys taken.
  ///
  /// @param lse natural log-sum-exp of each row's scores, as the forward pass wrote it
  /// @param high number of leading keys that row r sees, from `ho`, among all of the head
  /// @param skip number of keys of the head before those taken
  /// @param rows number of query rows
  /// @param gq is added to from `gqo`; null where it is not wanted
  public void addQueries(
      float[] q,
      int qo,
      float[] out,
      int oo,
      float[] go,
      int goo,
      float[] lse,
      int lo,
      int[] high,
      int ho,
      int skip,
      int rows,
      float scale,
      float @Nullable [] gq,
      int gqo) {
    System.arraycopy(q, qo, queryRows, 0, rows * dim);
    System.arraycopy(go, goo, gradOutRows, 0, rows * valueDim);
    for (int r = 0; r < rows; r++) {
      minusD[r] = -kernels.dot(valueDim, gradOutRows, r * valueDim, out, oo + r * valueDim);
      boolean empty = lse[lo + r] == Float.NEGATIVE_INFINITY;
      minusLse[r] = empty ? 0 : (float) (-lse[lo + r] / Math.log(2));
      boolean weight = Float.isFinite(minusLse[r]);
      faults[r] = (weight ? 0 : NAN_WEIGHT) | (Float.isFinite(minusD[r]) ? 0 : NAN_SLOPE);
    }
    if (KernelSelection.VECTOR) {
      pack(queryRows, dim, rows, (float) (scale / Math.log(2)), query);
      pack(gradOutRows, valueDim, rows, 1, gradOut);
    }
    GradientRows.clear(queryRows, dim, gradOutRows, valueDim, rows, faults);
    Arrays.fill(gradQuery, 0);
    if (KernelSelection.VECTOR) {
      vectorQueries(high, ho, skip, rows);
    } else {
      scalarQueries(high, ho, skip, rows, scale);
    }
    for (int r = 0; r < rows && gq != null; r++) {
      kernels.axpy(dim, scale, gradQuery, r * keyStride, gq, gqo + r * dim);
    }
  }

  private void vectorQueries(int[] high, int ho, int skip, int rows) {
    for (int tile = 0; tile < keys; tile += SPAN) {
      int columns = Math.min(SPAN, keys - tile);
      for (int block = 0; block < rows; block += BLOCK) {
        int count = Math.min(BLOCK, rows - block);
        int most = 0;
        for (int r = 0; r < count; r++) {
          most = Math.max(most, Math.min(columns, high[ho + block + r] - skip - tile));
        }
        if (most > 0 && !beforeFirstKey(block, tile, most, skip)) {
          weights(tile, block, count, most, high, ho, skip);
          accumulate(tile, block, count, most);
        }
      }
    }
  }

  /// Whether the term lets no row of a block from `row` on attend to a tile of `most` keys.
  private boolean beforeFirstKey(int row, int tile, int most, int skip) {
    ScoreTerm current = term;
    return current != null && column(tile + most - 1, skip) < current.firstKey(termRow + row);
  }

  private static void pack(float[] rows, int width, int count, float factor, float[] groups) {
    for (int r = 0; r < count; r += ROWS) {
      int some = Math.min(ROWS, count - r);
      Packing.transpose(rows, r * width, width, some, width, factor, groups, r * width, ROWS, ROWS);
    }
  }

  /// p and ds of one block of rows and one tile of keys; ∂q += ds · k.
  private void weights(int tile, int block, int count, int most, int[] high, int ho, int skip) {
    int panels = (most + Lanes.PANEL - 1) / Lanes.PANEL;
    int end = (most + ROWS - 1) / ROWS * ROWS;
    takeTerm(tile, block, count, most, skip);
    for (int g = 0; g < count; g += ROWS) {
      int row = block + g;
      FusedProducts.scores(
          dim, query, row * dim, keyPanels.data, tile * dim, panels, p, g * TILE, minusLse, row);
      addBias(tile, g, row, Math.min(ROWS, count - g), most, skip);
      addTerm(g, Math.min(ROWS, count - g), most);
      FusedProducts.scores(
          valueDim,
          gradOut,
          row * valueDim,
          valuePanels.data,
          tile * valueDim,
          panels,
          ds,
          g * TILE,
          minusD,
          row);
      ScorePasses.weightGradients(p, ds, g * TILE, panels * Lanes.PANEL);
      for (int r = 0; r < ROWS; r++) {
        boolean present = g + r < count;
        int seen = present ? Math.clamp((long) high[ho + row + r] - skip - tile, 0, most) : 0;
        int start = (g + r) * TILE;
        Arrays.fill(p, start + seen, start + end, 0);
        Arrays.fill(ds, start + seen, start + end, 0);
        if (present && faults[row + r] != 0) {
          Arrays.fill(ds, start, start + seen, Float.NaN);
          if (faults[row + r] >= NAN_WEIGHT) {
            Arrays.fill(p, start, start + seen, Float.NaN);
          }
        }
        hideByTerm(start, seen);
        addBiasGradient(tile, start, row + r, seen, skip);
      }
      FusedProducts.weighted(
          dim, most, ds, g * TILE, keyRows, tile * dim, dim, gradQuery, row * keyStride, keyStride);
    }
    ScoreTerm current = term;
    if (current != null) {
      current.gradients(termRow + block, count, columns, most, ds, 0, TILE);
    }
  }

  /// What the term adds to a block of rows and a tile of keys.
  private void takeTerm(int tile, int block, int count, int most, int skip) {
    ScoreTerm current = term;
    if (current != null) {
      for (int j = 0; j < most; j++) {
        columns[j] = column(tile + j, skip);
      }
      current.scores(termRow + block, count, columns, most, added, 0, TILE);
    }
  }

  /// Adds the term to the scores of some rows, in units of log 2.
  private void addTerm(int group, int count, int most) {
    if (term != null) {
      for (int r = group; r < group + count; r++) {
        for (int j = r * TILE; j < r * TILE + most; j++) {
          p[j] += added[j] * LOG2_E;
        }
      }
    }
  }

  /// Zeroes p and ds of what the term hides, whatever they are.
  private void hideByTerm(int start, int seen) {
    if (term != null) {
      for (int j = start; j < start + seen; j++) {
        if (added[j] == Float.NEGATIVE_INFINITY) {
          p[j] = 0;
          ds[j] = 0;
        }
      }
    }
  }

  /// Adds the bias to the scores of some rows, in units of log 2.
  private void addBias(int tile, int group, int row, int count, int most, int skip) {
    float[] rows = bias;
    if (rows == null) {
      return;
    }
    for (int r = 0; r < count; r++) {
      int from = biasAt + (row + r) * biasStride;
      int to = (group + r) * TILE;
      for (int j = 0; j < most; j++) {
        p[to + j] += rows[from + column(tile + j, skip)] * LOG2_E;
      }
    }
  }

  private void addBiasGradient(int tile, int from, int row, int seen, int skip) {
    float[] sums = gradBias;
    if (sums == null) {
      return;
    }
    for (int j = 0; j < seen; j++) {
      sums[biasAt + row * biasStride + column(tile + j, skip)] += ds[from + j];
    }
  }

  /// ∂v += pᵀ · ∂out and ∂k += dsᵀ · q for one block of rows and one tile of keys.
  private void accumulate(int tile, int block, int count, int most) {
    for (int j = 0; j < most; j += ROWS) {
      FusedProducts.transposed(
          valueDim,
          count,
          p,
          j,
          gradOutRows,
          block * valueDim,
          valueDim,
          gradValue,
          (tile + j) * valueStride,
          valueStride);
      FusedProducts.transposed(
          dim,
          count,
          ds,
          j,
          queryRows,
          block * dim,
          dim,
          gradKey,
          (tile + j) * keyStride,
          keyStride);
    }
  }

  private void scalarQueries(int[] high, int ho, int skip, int rows, float scale) {
    for (int r = 0; r < rows; r++) {
      int seen = Math.min(keys, high[ho + r] - skip);
      for (int tile = 0; tile < seen; tile += SPAN) {
        int count = Math.min(SPAN, seen - tile);
        if (beforeFirstKey(r, tile, count, skip)) {
          continue;
        }
        takeTerm(tile, r, 1, count, skip);
        scalarTile(r, tile, count, skip, scale);
        ScoreTerm current = term;
        if (current != null) {
          current.gradients(termRow + r, 1, columns, count, ds, 0, TILE);
        }
      }
    }
  }

  private void scalarTile(int r, int tile, int count, int skip, float scale) {
    for (int j = tile; j < tile + count; j++) {
      float score = scale * kernels.dot(dim, queryRows, r * dim, keyRows, j * dim);
      float[] biases = bias;
      int at = biases == null ? 0 : biasAt + r * biasStride + column(j, skip);
      score += biases == null ? 0 : biases[at];
      float more = term == null ? 0 : added[j - tile];
      float weight = (float) Math.exp(score + more + minusLse[r] * Math.log(2));
      int value = j * valueDim;
      float slope =
          weight
              * (kernels.dot(valueDim, gradOutRows, r * valueDim, valuePanels.data, value)
                  + minusD[r]);
      if (faults[r] != 0) {
        slope = Float.NaN;
        weight = faults[r] >= NAN_WEIGHT ? slope : weight;
      }
      if (more == Float.NEGATIVE_INFINITY) {
        slope = 0;
        weight = 0;
      }
      ds[j - tile] = slope;
      float[] sums = gradBias;
      if (biases != null && sums != null) {
        sums[at] += slope;
      }
      kernels.axpy(dim, slope, keyRows, j * dim, gradQuery, r * keyStride);
      kernels.axpy(dim, slope, queryRows, r * dim, gradKey, j * keyStride);
      kernels.axpy(valueDim, weight, gradOutRows, r * valueDim, gradValue, j * valueStride);
    }
  }

  /// Adds the gradients of the keys and values of the head to arrays that are wanted, not null.
  public void finish(
      float scale,
      float @Nullable [] gk,
      int gko,
      float @Nullable [] gv,
      int gvo,
      int @Nullable [] index,
      int from) {
    for (int j = 0; j < keys; j++) {
      int row = index == null ? j : index[from + j];
      if (gk != null) {
        kernels.axpy(dim, scale, gradKey, j * keyStride, gk, gko + row * dim);
      }
      if (gv != null) {
        int to = gvo + row * valueDim;
        kernels.add(valueDim, gv, to, gradValue, j * valueStride, gv, to);
      }
    }
  }
}
