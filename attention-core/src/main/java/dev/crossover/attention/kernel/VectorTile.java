// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.L;
import static dev.crossover.attention.kernel.Lanes.PANEL;
import static dev.crossover.attention.kernel.Lanes.ROWS;
import static dev.crossover.attention.kernel.Lanes.TILE;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The online softmax of [SoftmaxTile], fused, on vectors. In pseudo-code, with scores in units of
/// log 2:
///
/// ```
/// for each tile of 256 keys                            stays in L2 for all groups
///   for each group of ROWS query rows
///     for rows that are new: m = score of their first key
///     s = q · kᵀ − m                                   −∞ where a row may not see
///     p = 2^s;  sums = sums + p                        lane by lane
///     if some s > 60: undo, s = q · kᵀ − m;
///       for rows with such an s: s = q · kᵀ, m = largest s, s = s − m, rescale sums and o
///       p = 2^s;  sums = sums + p
///     o = o + p · v
/// out = o / Σ lanes of sums
/// ```
///
/// Departures from the textbook form, with what they gave on 8 heads, d = 64, AVX-512:
///
/// 1. The accumulators of q · kᵀ start at −m: one pass over the scores both exponentiates and sums.
///
/// 2. m is not the running maximum but the score of the first key a row sees, raised to the tile's
/// maximum only when a score exceeds it by 60: floats carry a factor of 2⁶⁰ without loss, and the
/// test is one integer maximum over the tile. Where the first key has no finite score, or there is
/// a bias, m is the first tile's maximum. Without that maximum pass, and with one pass over a
/// causal tile, n = 512 gained 2 points of peak, causal 4, on Gaussian inputs. The margin is for
/// trained models: at 20, half of the tiles of the captured input at n = 512 were scored twice, at
/// 60 none.
///
/// 3. Rows with different intervals share a tile: scores at edges are hidden before the one fast
/// pass, whole hidden panels are skipped, and only the visible range enters p · v.
///
/// 4. 0 · NaN is NaN, so a value row that some rows may not see is first tested for being finite;
/// if it is not, p · v runs row by row.
///
/// 5. Where a key panel or query group holds NaN or infinities, scores are searched for NaN,
/// because the fast 2^s loses a NaN with its sign bit set.
///
/// 6. Rows are tested for being finite before they are transposed, as reading them in order fetches
/// them sooner; with 3, and two rows per exponential loop, 3 points at n = 512.
///
/// 7. An accumulator that starts at −m carries the rounding of m: at a score of 10⁹ that is more
/// than the threshold in either direction, and a row could end without any weight or with an
/// infinite one. Rows whose reference is beyond [#FAR] start at 0, and m, the largest of such
/// scores, is subtracted from all of them: the largest weight is then exactly 1 whatever the
/// scores.
///
/// What is hidden changes no bit of a result. No gain: packing and blocks in one parallel phase.
final class VectorTile implements TileEngine {
  private static final int PREFERRED_GROUPS = 16;

  /// References up to here, in units of log 2, are so exact that a sum which starts from one is
  /// wrong by less than 1 in an exponent: 64 additions of 2⁻⁷.
  private static final float FAR = 1 << 17;

  private final int dim;
  private final int valueDim;
  private final int numeratorStride;
  private final float[] query;
  private final int[] queryNotFinite;
  private final float[] numerator;
  /// −m per row; +∞ as long as the row has seen no key.
  private final float[] shift;
  private final float[] sums;
  private final float[] savedSums;
  private final float[] starts;
  private final float[] scores;
  /// Visible columns of the current tile per row of the current group; empty is 0, 0.
  private final int[] begin;
  private final int[] end;
  private int rows;

  VectorTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    int groups = groups(maxRows);
    this.dim = dim;
    this.valueDim = valueDim;
    this.numeratorStride = Lanes.roundUp(valueDim, L);
    this.query = scratch.floats((long) groups * ROWS * dim + 16);
    this.queryNotFinite = scratch.ints(groups);
    this.numerator = scratch.floats((long) groups * ROWS * numeratorStride);
    this.shift = scratch.floats((long) groups * ROWS);
    this.sums = scratch.floats((long) groups * ROWS * L);
    this.savedSums = scratch.floats(ROWS * L);
    this.starts = scratch.floats(ROWS + L);
    this.scores = scratch.floats(ROWS * TILE + L);
    this.begin = scratch.ints(ROWS);
    this.end = scratch.ints(ROWS);
  }

  static long bytes(int maxRows, int dim, int valueDim) {
    long groups = groups(maxRows);
    long perRow = dim + Lanes.roundUp(valueDim, L) + 1 + L;
    return (groups * (ROWS * perRow + 1) + 16 + ROWS * (L + TILE + 3) + 2 * L) * Float.BYTES;
  }

  static int preferredRows() {
    return PREFERRED_GROUPS * ROWS;
  }

  private static int groups(int rows) {
    return (rows + ROWS - 1) / ROWS;
  }

  @Override
  public void begin(
      float[] q, int qo, int ldq, int @Nullable [] index, int from, int newRows, float scale) {
    rows = newRows;
    float factor = (float) ((double) scale * (1 / Math.log(2)));
    int groups = groups(rows);
    for (int g = 0; g < groups; g++) {
      int count = Math.min(ROWS, rows - g * ROWS);
      int start = index == null ? qo + g * ROWS * ldq : qo;
      boolean finite = Packing.finite(q, start, ldq, index, from + g * ROWS, count, dim, factor);
      queryNotFinite[g] = finite ? 0 : 1;
      Packing.transpose(
          q,
          start,
          ldq,
          index,
          from + g * ROWS,
          count,
          dim,
          factor,
          query,
          g * ROWS * dim,
          ROWS,
          ROWS);
    }
    Arrays.fill(numerator, 0, groups * ROWS * numeratorStride, 0);
    Arrays.fill(sums, 0, groups * ROWS * L, 0);
    Arrays.fill(shift, 0, rows, Float.POSITIVE_INFINITY);
    Arrays.fill(shift, rows, groups * ROWS, 0);
  }

  @Override
  public void attend(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int from,
      int to,
      int @Nullable [] low,
      int lo,
      int @Nullable [] high,
      int ho,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    int sharedLow = from;
    int sharedHigh = to;
    for (int r = 0; low != null && high != null && r < rows; r++) {
      sharedLow = Math.max(sharedLow, low[lo + r]);
      sharedHigh = Math.min(sharedHigh, high[ho + r]);
    }
    for (int tile = from & -PANEL; tile < to; tile += TILE) {
      int first = Math.max(from - tile, 0);
      int last = Math.min(to - tile, TILE);
      boolean same = sharedLow <= tile + first && tile + last <= sharedHigh;
      for (int row = 0; row < rows; row += ROWS) {
        int biasColumn = bo + row * ldb + tile - from;
        if (same || low == null || high == null) {
          uniform(keys, v, vo + tile * ldv, ldv, tile, row, first, last, bias, biasColumn, ldb);
        } else {
          intervals(
              keys,
              v,
              vo + tile * ldv,
              ldv,
              tile,
              row,
              first,
              last,
              low,
              lo + row,
              high,
              ho + row,
              bias,
              biasColumn,
              ldb);
        }
      }
    }
  }

  /// All rows of the group at `row` see columns `first … last - 1` of the tile.
  private void uniform(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int tile,
      int row,
      int first,
      int last,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    boolean edges = ((first | last) & (PANEL - 1)) != 0;
    if (edges) {
      Arrays.fill(begin, first);
      Arrays.fill(end, last);
    }
    group(keys, v, vo, ldv, tile, row, first, last, first, last, edges, bias, bo, ldb);
  }

  /// Row r of the group at `row` sees columns `low[lo + r] - tile … high[ho + r] - tile - 1`.
  private void intervals(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int tile,
      int row,
      int first,
      int last,
      int[] low,
      int lo,
      int[] high,
      int ho,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    int start = TILE;
    int stop = 0;
    int sharedStart = 0;
    int sharedStop = TILE;
    for (int r = 0; r < ROWS; r++) {
      int source = Math.min(r, rows - row - 1);
      int a = (int) Math.max(first, (long) low[lo + source] - tile);
      int b = (int) Math.min(last, (long) high[ho + source] - tile);
      if (a < b) {
        start = Math.min(start, a);
        stop = Math.max(stop, b);
      } else {
        a = 0;
        b = 0;
      }
      begin[r] = a;
      end[r] = b;
      sharedStart = Math.max(sharedStart, a);
      sharedStop = Math.min(sharedStop, b);
    }
    if (start < stop) {
      boolean edges =
          start != sharedStart || stop != sharedStop || ((start | stop) & (PANEL - 1)) != 0;
      group(
          keys, v, vo, ldv, tile, row, start, stop, sharedStart, sharedStop, edges, bias, bo, ldb);
    }
  }

  /// One group of rows, one tile of keys.
  ///
  /// @param first first column that some row sees
  /// @param last one past the last such column
  /// @param sharedFirst first column that every row sees
  /// @param sharedLast one past the last such column
  /// @param edges whether rows differ or a panel is partly visible; then `begin` and `end` hold
  private void group(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int tile,
      int row,
      int first,
      int last,
      int sharedFirst,
      int sharedLast,
      boolean edges,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    int panelFirst = first & -PANEL;
    int panelLast = Lanes.roundUp(last, PANEL);
    int panels = (panelLast - panelFirst) / PANEL;
    int panelOffset = (tile + panelFirst) * dim;
    int q = row * dim;
    boolean fresh = seesFirstKey(row, edges);
    if (fresh && bias == null) {
      fresh = !referToFirstKey(keys, panelOffset, first - panelFirst, first, row, edges);
    }
    boolean far = isFar(row);
    float[] start = fresh || far ? startAtZeroWhereNewOrFar(row) : shift;
    int so = fresh || far ? 0 : row;
    FusedProducts.scores(
        dim, query, q, keys.data, panelOffset, panels, scores, panelFirst, start, so);
    int found = addBias(first, last, row, edges, bias, bo, ldb);
    if (found >= ScorePasses.NANS
        || queryNotFinite[row / ROWS] != 0
        || keys.anyNotFinite((tile + panelFirst) / PANEL, panels)) {
      poisonRowsThatSeeNan(first, last, row, edges);
    }
    if (far) {
      subtractFarReferences(first, last, row, edges);
    }
    if (fresh) {
      setReferences(first, last, row, edges);
    }
    System.arraycopy(sums, row * L, savedSums, 0, ROWS * L);
    if (exponentiate(panelFirst, panelLast, row, edges)) {
      System.arraycopy(savedSums, 0, sums, row * L, ROWS * L);
      FusedProducts.scores(
          dim, query, q, keys.data, panelOffset, panels, scores, panelFirst, start, so);
      addBias(first, last, row, edges, bias, bo, ldb);
      if (far) {
        subtractFarReferences(first, last, row, edges);
      }
      int exceeded = startAtZeroWhereExceeded(first, last, row, edges, start, so);
      FusedProducts.scores(
          dim, query, q, keys.data, panelOffset, panels, scores, panelFirst, starts, 0);
      addBias(first, last, row, edges, bias, bo, ldb);
      raiseReferences(first, last, row, edges, exceeded);
      exponentiate(panelFirst, panelLast, row, edges);
    }
    boolean holes = (found & ScorePasses.HOLES) != 0;
    boolean uneven = first != sharedFirst || last != sharedLast || holes;
    if (v.length < L
        || uneven
            && !HiddenValues.finite(
                valueDim, v, vo, ldv, first, last, sharedFirst, sharedLast, holes)) {
      if (!edges) {
        Arrays.fill(begin, first);
        Arrays.fill(end, last);
      }
      int target = row * numeratorStride;
      HiddenValues.weigh(
          Math.min(ROWS, rows - row),
          valueDim,
          scores,
          begin,
          end,
          v,
          vo,
          ldv,
          bias,
          bo,
          ldb,
          numerator,
          target,
          numeratorStride);
    } else {
      FusedProducts.weighted(
          valueDim,
          last - first,
          scores,
          first,
          v,
          vo + first * ldv,
          ldv,
          numerator,
          row * numeratorStride,
          numeratorStride);
    }
  }

  private int addBias(
      int first, int last, int row, boolean edges, float @Nullable [] bias, int bo, int ldb) {
    return bias == null
        ? 0
        : ScorePasses.addBias(scores, begin, end, edges, first, last, bias, bo, ldb, rows - row);
  }

  /// Whether a row of the group sees a key for the first time.
  private boolean seesFirstKey(int row, boolean edges) {
    for (int r = 0; r < ROWS; r++) {
      if (shift[row + r] == Float.POSITIVE_INFINITY && (!edges || begin[r] < end[r])) {
        return true;
      }
    }
    return false;
  }

  /// Turns scores into weights and adds them to the sums; whether a score exceeded the threshold.
  private boolean exponentiate(int panelFirst, int panelLast, int row, boolean edges) {
    if (edges) {
      ScorePasses.hide(scores, begin, end, panelFirst, panelLast);
    }
    return ScorePasses.exponentiate(scores, panelFirst, panelLast, sums, row * L);
  }

  /// Makes the score of the group's first key the reference of new rows that see that key, unless
  /// it is far or not finite; whether no row is left without one.
  private boolean referToFirstKey(
      KeyPanels keys, int panelOffset, int column, int first, int row, boolean edges) {
    FusedProducts.column(dim, query, row * dim, keys.data, panelOffset + column, starts);
    boolean all = true;
    for (int r = 0; r < ROWS; r++) {
      if (shift[row + r] == Float.POSITIVE_INFINITY && (!edges || begin[r] < end[r])) {
        if ((!edges || begin[r] == first) && Math.abs(starts[r]) <= FAR) {
          shift[row + r] = -starts[r];
        } else {
          all = false;
        }
      }
    }
    return all;
  }

  /// Whether a row of the group has a reference that sums may not start from.
  private boolean isFar(int row) {
    for (int r = 0; r < ROWS; r++) {
      float value = shift[row + r];
      if (Math.abs(value) > FAR && value != Float.POSITIVE_INFINITY) {
        return true;
      }
    }
    return false;
  }

  /// The starting values of the group's accumulators: 0 for rows that have seen no key yet or whose
  /// reference is far.
  private float[] startAtZeroWhereNewOrFar(int row) {
    for (int r = 0; r < ROWS; r++) {
      float value = shift[row + r];
      starts[r] = Math.abs(value) > FAR ? 0 : value;
    }
    return starts;
  }

  /// Shifts the scores of rows whose reference is far, which started at 0.
  private void subtractFarReferences(int first, int last, int row, boolean edges) {
    for (int r = 0; r < ROWS; r++) {
      float value = shift[row + r];
      int from = r * TILE + (edges ? begin[r] : first);
      int to = r * TILE + (edges ? end[r] : last);
      if (from < to && Math.abs(value) > FAR && value != Float.POSITIVE_INFINITY) {
        ScorePasses.subtract(scores, from, to, -value);
      }
    }
  }

  /// Gives rows that see their first keys in this tile their reference, and shifts their scores.
  private void setReferences(int first, int last, int row, boolean edges) {
    for (int r = 0; r < ROWS; r++) {
      int from = r * TILE + (edges ? begin[r] : first);
      int to = r * TILE + (edges ? end[r] : last);
      if (from >= to || shift[row + r] != Float.POSITIVE_INFINITY) {
        continue;
      }
      float max = ScorePasses.max(scores, from, to);
      if (max == Float.POSITIVE_INFINITY) {
        poison(row + r, from, to);
        max = 0;
      }
      if (max != Float.NEGATIVE_INFINITY) {
        shift[row + r] = -max;
        ScorePasses.subtract(scores, from, to, max);
      }
    }
  }

  /// Sets the starting values for another pass over a tile: 0 for rows that exceeded their
  /// reference by too much, because a far shift costs digits, and the same as before for the
  /// others, so that they keep their bits and no row's result depends on its neighbours.
  ///
  /// @return the rows that did, a bit each
  private int startAtZeroWhereExceeded(
      int first, int last, int row, boolean edges, float[] start, int so) {
    int exceeded = 0;
    for (int r = 0; r < ROWS; r++) {
      int from = r * TILE + (edges ? begin[r] : first);
      int to = r * TILE + (edges ? end[r] : last);
      starts[r] = start[so + r];
      float reference = shift[row + r];
      boolean shifted =
          starts[r] == reference
              || Math.abs(reference) > FAR && reference != Float.POSITIVE_INFINITY;
      if (from < to && shifted && ScorePasses.max(scores, from, to) > ScorePasses.THRESHOLD) {
        starts[r] = 0;
        exceeded |= 1 << r;
      }
    }
    return exceeded;
  }

  /// Raises the reference of rows that exceeded it by too much to their maximum, and shifts scores
  /// that started at 0.
  private void raiseReferences(int first, int last, int row, boolean edges, int exceeded) {
    for (int r = 0; r < ROWS; r++) {
      int from = r * TILE + (edges ? begin[r] : first);
      int to = r * TILE + (edges ? end[r] : last);
      float old = shift[row + r];
      if (from >= to || old == Float.POSITIVE_INFINITY) {
        continue;
      }
      if ((exceeded >> r & 1) == 0) {
        if (starts[r] != old) {
          ScorePasses.subtract(scores, from, to, -old);
        }
        continue;
      }
      float max = ScorePasses.max(scores, from, to);
      if (max == Float.POSITIVE_INFINITY) {
        poison(row + r, from, to);
        continue;
      }
      if (max <= -old) {
        ScorePasses.subtract(scores, from, to, -old);
        continue;
      }
      float factor = (float) Math.pow(2, -((double) max + old));
      shift[row + r] = -max;
      ScorePasses.scale(sums, (row + r) * L, L, factor);
      ScorePasses.scale(numerator, (row + r) * numeratorStride, numeratorStride, factor);
      ScorePasses.subtract(scores, from, to, max);
    }
  }

  private void poisonRowsThatSeeNan(int first, int last, int row, boolean edges) {
    for (int r = 0; r < ROWS; r++) {
      int from = r * TILE + (edges ? begin[r] : first);
      int to = r * TILE + (edges ? end[r] : last);
      if (ScorePasses.anyNan(scores, from, to)) {
        poison(row + r, from, to);
      }
    }
  }

  /// Makes a row's result NaN.
  private void poison(int row, int from, int to) {
    Arrays.fill(sums, row * L, row * L + L, Float.NaN);
    Arrays.fill(scores, from, to, 0);
  }

  @Override
  public void suspend(
      float[] x,
      int xo,
      int ldx,
      int @Nullable [] index,
      int from,
      float[] marks,
      int mo,
      int ldm) {
    for (int r = 0; r < rows; r++) {
      int row = index == null ? r : index[from + r];
      System.arraycopy(numerator, r * numeratorStride, x, xo + row * ldx, valueDim);
      marks[mo + row * ldm] = ScorePasses.sumLanes(sums, r * L);
      marks[mo + row * ldm + 1] = -shift[r];
    }
  }

  @Override
  public void resume(
      float[] x,
      int xo,
      int ldx,
      int @Nullable [] index,
      int from,
      float[] marks,
      int mo,
      int ldm) {
    for (int r = 0; r < rows; r++) {
      int row = index == null ? r : index[from + r];
      System.arraycopy(x, xo + row * ldx, numerator, r * numeratorStride, valueDim);
      sums[r * L] = marks[mo + row * ldm];
      shift[r] = -marks[mo + row * ldm + 1];
    }
  }

  @Override
  public void finish(float[] out, int oo, int ldo) {
    for (int r = 0; r < rows; r++) {
      float sum = ScorePasses.sumLanes(sums, r * L);
      float inverse = sum == 0 ? 0 : 1 / sum;
      ScorePasses.scaleInto(valueDim, numerator, r * numeratorStride, inverse, out, oo + r * ldo);
    }
  }

  @Override
  public void logSumExp(float[] lse, int lo, int ldl) {
    for (int r = 0; r < rows; r++) {
      float sum = ScorePasses.sumLanes(sums, r * L);
      lse[lo + r * ldl] =
          sum == 0 ? Float.NEGATIVE_INFINITY : (float) (Math.log(sum) - shift[r] * Math.log(2));
    }
  }
}
