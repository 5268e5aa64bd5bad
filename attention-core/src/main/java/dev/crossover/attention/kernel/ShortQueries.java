// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// Exact softmax attention of a few query rows over many keys that are read once, where they lie:
/// the decoding case, bound by memory. Packing the keys, as [SoftmaxTile] wants it, would move them
/// three times.
///
/// ```
/// for each 16384 keys:  s = q · kᵀ;  m' = max(m, s);  o, z = (o, z) · e^(m − m');
///                     p = e^(s − m');  z = z + Σ p;  o = o + p · v
/// ```
///
/// One query over 65536 keys of 8 heads, d = 64, on one thread of a server whose memory gives 36
/// GB/s to a plain sum: dot products one at a time 27 GB/s, 44 from the second-level cache; eight
/// at a time with their lanes added in butterflies 34, 115 from the cache. With them the length of
/// a chunk matters, because going from keys to values and back lets the prefetchers start anew:
/// 24, 29, 34 GB/s at 256, 1024, 4096 keys; with two threads, which share 46 GB/s, 31, 36, 39 at
/// 4096, 8192, 16384 and 36 at 65536. Huge pages (`-XX:+UseTransparentHugePages`) give
/// another tenth. Reading four far parts of the keys side by side, or touching rows ahead, cost a
/// tenth to a third.
///
/// Keys that a row may not see are not touched for that row. One instance belongs to one worker.
public final class ShortQueries {
  /// Number of rows up to which reading keys in place is worth it.
  public static final int MAX_ROWS = 16;

  /// Scores of a turn, all rows together.
  private static final int SCORES = 16384;

  private final Kernels kernels = Kernels.get();
  private final int dim;
  private final int valueDim;
  /// Keys of a turn.
  private final int chunk;

  private final float[] query;
  private final float[] scores;
  private final float[] numerator;
  private final float[] max;
  private final float[] denominator;
  private final float[] work;
  private int rows;

  /// @param scratch allocator
  /// @param maxRows largest number of query rows
  /// @param dim width of query and key rows
  /// @param valueDim width of value and output rows
  public ShortQueries(Scratch scratch, int maxRows, int dim, int valueDim) {
    this.dim = dim;
    this.valueDim = valueDim;
    chunk = chunk(maxRows);
    query = scratch.floats((long) maxRows * dim);
    scores = scratch.floats((long) maxRows * chunk);
    numerator = scratch.floats((long) maxRows * valueDim);
    max = scratch.floats(maxRows);
    denominator = scratch.floats(maxRows);
    work = scratch.floats(kernels.transposedBScratch(chunk, dim));
  }

  /// Bytes the constructor allocates.
  public static long bytes(int maxRows, int dim, int valueDim) {
    int chunk = chunk(maxRows);
    long perRow = (long) dim + valueDim + chunk + 2;
    return Float.BYTES * (maxRows * perRow + Kernels.get().transposedBScratch(chunk, dim));
  }

  private static int chunk(int maxRows) {
    return SCORES / Math.max(1, maxRows);
  }

  /// Takes query rows and forgets everything before.
  ///
  /// @param q source, row r starts at `qo + r * dim`
  /// @param scale factor on the dot products
  public void begin(float[] q, int qo, int newRows, float scale) {
    rows = newRows;
    kernels.scale(rows * dim, scale, q, qo, query, 0);
    Arrays.fill(numerator, 0, rows * valueDim, 0);
    Arrays.fill(max, 0, rows, Float.NEGATIVE_INFINITY);
    Arrays.fill(denominator, 0, rows, 0);
  }

  /// Lets row r see the keys `from … min(to, high[r]) - 1`, or all to `to - 1` where `high` is
  /// null.
  ///
  /// @param k keys, row j starts at `ko + j * dim`
  /// @param v values, row j starts at `vo + j * valueDim`
  /// @param bias where given, the addition for row r and key j is at `bo + r * ldb + j`; −∞ hides
  public void attend(
      float[] k,
      int ko,
      float[] v,
      int vo,
      int from,
      int to,
      int @Nullable [] high,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    attend(k, ko, v, vo, valueDim, from, to, high, bias, bo, ldb);
  }

  /// The same over value rows that are further apart, as where values are a part of the keys.
  ///
  /// @param v values, row j starts at `vo + j * ldv`
  public void attend(
      float[] k,
      int ko,
      float[] v,
      int vo,
      int ldv,
      int from,
      int to,
      int @Nullable [] high,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    for (int j = from; j < to; j += chunk) {
      int count = Math.min(chunk, to - j);
      int most = 0;
      boolean same = bias == null;
      for (int r = 0; r < rows; r++) {
        int visible = visible(r, j, count, high);
        same &= visible == visible(0, j, count, high);
        most = Math.max(most, visible);
      }
      if (most == 0) {
        continue;
      }
      kernels.multiplyTransposedB(
          rows, most, dim, query, 0, dim, k, ko + j * dim, dim, scores, 0, chunk, false, work, 0);
      for (int r = 0; r < rows; r++) {
        int visible = visible(r, j, count, high);
        if (bias != null) {
          kernels.add(visible, scores, r * chunk, bias, bo + r * ldb + j, scores, r * chunk);
          hide(visible, r, bias, bo + r * ldb + j);
        }
        weights(r, visible);
        if (!same) {
          mix(r, visible, v, vo + j * ldv, ldv, bias, bo + r * ldb + j);
        }
      }
      if (same) {
        kernels.multiply(
            rows,
            valueDim,
            most,
            scores,
            0,
            chunk,
            v,
            vo + j * ldv,
            ldv,
            numerator,
            0,
            valueDim,
            true);
      }
    }
  }

  private static int visible(int r, int j, int count, int @Nullable [] high) {
    return high == null ? count : Math.clamp((long) high[r] - j, 0, count);
  }

  private void hide(int visible, int r, float[] bias, int bo) {
    for (int c = 0; c < visible; c++) {
      if (bias[bo + c] == Float.NEGATIVE_INFINITY) {
        scores[r * chunk + c] = Float.NEGATIVE_INFINITY;
      }
    }
  }

  /// Turns a row's scores into weights, raising its reference where needed.
  private void weights(int r, int visible) {
    int so = r * chunk;
    float largest = kernels.max(visible, scores, so);
    if (largest == Float.NEGATIVE_INFINITY) {
      Arrays.fill(scores, so, so + visible, 0);
      return;
    }
    if (Float.isNaN(largest) || largest == Float.POSITIVE_INFINITY) {
      denominator[r] = Float.NaN;
      Arrays.fill(scores, so, so + visible, 0);
      return;
    }
    if (largest > max[r]) {
      if (max[r] > Float.NEGATIVE_INFINITY) {
        float keep = (float) Math.exp((double) max[r] - largest);
        denominator[r] *= keep;
        kernels.scale(valueDim, keep, numerator, r * valueDim, numerator, r * valueDim);
      }
      max[r] = largest;
    }
    denominator[r] += kernels.exp(visible, 1, -max[r], scores, so, scores, so);
  }

  private void mix(
      int r, int visible, float[] v, int vo, int ldv, float @Nullable [] bias, int bo) {
    if (bias == null) {
      kernels.multiply(
          1,
          valueDim,
          visible,
          scores,
          r * chunk,
          chunk,
          v,
          vo,
          ldv,
          numerator,
          r * valueDim,
          valueDim,
          true);
      return;
    }
    for (int c = 0; c < visible; c++) {
      if (bias[bo + c] != Float.NEGATIVE_INFINITY) {
        kernels.axpy(valueDim, scores[r * chunk + c], v, vo + c * ldv, numerator, r * valueDim);
      }
    }
  }

  /// Divides and writes the output rows, row r at `oo + r * valueDim`; a row that saw no key is
  /// zero.
  public void finish(float[] out, int oo) {
    for (int r = 0; r < rows; r++) {
      float inverse = denominator[r] == 0 ? 0 : 1 / denominator[r];
      kernels.scale(valueDim, inverse, numerator, r * valueDim, out, oo + r * valueDim);
    }
  }

  /// Writes the natural log-sum-exp of the scaled scores of every row; −∞ for a row that saw no
  /// key.
  public void logSumExp(float[] lse, int lo) {
    for (int r = 0; r < rows; r++) {
      lse[lo + r] =
          denominator[r] == 0
              ? Float.NEGATIVE_INFINITY
              : (float) (max[r] + Math.log(denominator[r]));
    }
  }
}
