// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Decay by one number per head, token and row of S.
///
/// Where exponents are beyond reach they do not factor out of the products `Σ_a x_ia k_ja exp(c_ia
/// − c_ja)` but relative to another anchor r, by `exp(c_i − r)` and `exp(r − c_j)`. The next anchor
/// is the first row out of reach, and serves up to the end of its sub-chunk of [#SUB_CHUNK] rows:
/// with strong gates this is the sub-chunk scheme of GLA (arXiv:2312.06635, section 4.3). The
/// backward pass goes through the same anchors.
///
/// The part of the gradient that crosses from row to row is, per channel, the sum from t on of
/// `x ∘ dx − k ∘ dk` over the rows of the chunk.
final class ChannelDecay extends ChunkDecay {
  /// Rows of a sub-chunk.
  static final int SUB_CHUNK = 16;

  /// Largest distance of decays per channel from an anchor: rounding an exponent of this size to
  /// float32 costs a relative 1e-6.
  private static final double REACH = 16;

  private final float[] exponents;
  private final float[] lastFactors;
  private final double[] cumulative;
  private final float[] anchoredLeft;
  private final float[] moved;
  private float[] entering = new float[0];
  private float[] leaving = new float[0];
  private float[] inverse = new float[0];
  private float[] leftFactors = new float[0];
  private float[] anchoredGradient = new float[0];
  private double[] sums = new double[0];

  ChannelDecay(ChunkLayout layout, Scratch scratch) {
    super(layout);
    exponents = scratch.floats(layout.rows());
    lastFactors = scratch.floats(dim);
    cumulative = scratch.doubles(layout.rows());
    anchoredLeft = scratch.floats(layout.left());
    moved = scratch.floats(layout.rows());
  }

  @Override
  void run(int head, int row, int from, int to) {
    float[] g = rule.logDecays();
    for (int i = from; i < to; i++) {
      int own = row + i - from;
      if (own % steps != 0) {
        skip(i, i + 1);
      } else if (i == 0) {
        for (int a = 0; a < dim; a++) {
          cumulative[a] = Math.max(TokenDecay.FORGET, g[own / steps * dim + a]);
        }
      } else {
        addRow(dim, cumulative, (i - 1) * dim, g, own / steps * dim);
      }
    }
  }

  private static void addRow(int dim, double[] cumulative, int before, float[] g, int at) {
    for (int a = 0; a < dim; a++) {
      cumulative[before + dim + a] =
          cumulative[before + a] + Math.max(TokenDecay.FORGET, g[at + a]);
    }
  }

  @Override
  void skip(int from, int to) {
    for (int i = from; i < to; i++) {
      for (int a = 0; a < dim; a++) {
        cumulative[i * dim + a] = i == 0 ? 0 : cumulative[(i - 1) * dim + a];
      }
    }
  }

  @Override
  void begin(int rows) {
    count = rows;
    int size = rows * dim;
    round(size, cumulative, exponents);
    reach = kernels.largestMagnitude(size, exponents, 0) <= REACH ? rows : channelReach();
    kernels.exp(size, -1, 0, exponents, 0, moved, 0);
    kernels.exp(size, 1, 0, exponents, 0, exponents, 0);
    System.arraycopy(exponents, size - dim, lastFactors, 0, dim);
  }

  private static void round(int size, double[] x, float[] y) {
    for (int e = 0; e < size; e++) {
      y[e] = (float) x[e];
    }
  }

  private int channelReach() {
    int rows = 0;
    while (rows < count && kernels.largestMagnitude(dim, exponents, rows * dim) <= REACH) {
      rows++;
    }
    return rows;
  }

  @Override
  void carryChannels(float[] left, float[] carried) {
    carry(left, exponents, carried);
  }

  private void carry(float[] left, float[] factors, float[] carried) {
    for (int side = 0; side < sides; side++) {
      int first = side * count * dim;
      int shift = shift(side) * dim;
      System.arraycopy(left, first, carried, first, shift);
      int at = first + shift;
      kernels.multiplyElements(count * dim - shift, left, at, factors, 0, carried, at);
    }
  }

  /// Rows by which a side lags: what is read before the decay has the c of the row before.
  private int shift(int side) {
    return side > 0 && rule.erasesBeforeDecay() ? 1 : 0;
  }

  @Override
  void scores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    // Rows beyond reach take part, so that the kernel, and with it the bits of a row, do not depend
    // on how many there are.
    anchoredAtStart(k, ko);
    if (reach > 0) {
      lower(carried, moved, 0, scores, transposed);
    }
    if (reach < count) {
      moreAnchors(left, k, ko, scores, transposed);
      departing(k, ko);
    }
  }

  @Override
  void keys(float[] k, int ko) {
    if (reach == count) {
      anchoredAtStart(k, ko);
    } else {
      departing(k, ko);
    }
  }

  @Override
  float[] moved() {
    return moved;
  }

  /// moved_j = exp(−c_j) k_j.
  private void anchoredAtStart(float[] k, int ko) {
    kernels.multiplyElements(count * dim, k, ko, moved, 0, moved, 0);
  }

  /// moved_j = exp(c_last − c_j) k_j.
  private void departing(float[] k, int ko) {
    distancesFrom(count - 1, count, exponents);
    kernels.multiplyElements(count * dim, k, ko, exponents, 0, moved, 0);
  }

  /// Scores of the rows beyond reach.
  private void moreAnchors(float[] left, float[] k, int ko, float[] scores, float[] transposed) {
    int anchor = reach;
    while (anchor < count) {
      int end = endOfSubChunk(anchor);
      distancesFrom(anchor, end, exponents);
      kernels.multiplyElements(end * dim, k, ko, exponents, 0, moved, 0);
      distancesTo(anchor, end, exponents);
      for (int side = 0; side < sides; side++) {
        int rows = Math.min(end, count - shift(side)) - anchor;
        if (rows <= 0) {
          continue;
        }
        int first = side * count + anchor + shift(side);
        kernels.multiplyElements(rows * dim, left, first * dim, exponents, 0, anchoredLeft, 0);
        kernels.multiplyTransposedB(
            rows,
            end,
            dim,
            anchoredLeft,
            0,
            dim,
            moved,
            0,
            dim,
            scores,
            first * chunk,
            chunk,
            false,
            transposed,
            0);
      }
      anchor = outOfReach(anchor, end);
    }
  }

  private int endOfSubChunk(int row) {
    return Math.min(count, (row / SUB_CHUNK + 1) * SUB_CHUNK);
  }

  /// First row after the anchor that is further than REACH from it; `to` if there is none.
  private int outOfReach(int anchor, int to) {
    for (int i = anchor + 1; i < to; i++) {
      for (int a = 0; a < dim; a++) {
        double distance = cumulative[i * dim + a] - cumulative[anchor * dim + a];
        if (!(distance >= -REACH && distance <= REACH)) {
          return i;
        }
      }
    }
    return to;
  }

  /// exp(c_anchor − c_j) for the rows 0 to `to - 1`.
  private void distancesFrom(int anchor, int to, float[] factors) {
    for (int j = 0; j < to; j++) {
      for (int a = 0; a < dim; a++) {
        factors[j * dim + a] = (float) (cumulative[anchor * dim + a] - cumulative[j * dim + a]);
      }
    }
    kernels.exp(to * dim, 1, 0, factors, 0, factors, 0);
  }

  /// exp(c_i − c_anchor) for the rows `anchor` to `to - 1`.
  private void distancesTo(int anchor, int to, float[] factors) {
    int size = (to - anchor) * dim;
    for (int e = 0; e < size; e++) {
      double base = cumulative[anchor * dim + e % dim];
      factors[e] = (float) (cumulative[anchor * dim + e] - base);
    }
    kernels.exp(size, 1, 0, factors, 0, factors, 0);
  }

  @Override
  void state(float[] state, int at, int width, int stride) {
    for (int a = 0; a < dim; a++) {
      int row = at + a * stride;
      kernels.scale(width, lastFactors[a], state, row, state, row);
    }
  }

  @Override
  double flops(int rows) {
    return (sides + 4.0) * rows * dim;
  }

  @Override
  double gradientFlops(int rows) {
    return (9.0 * sides + 14) * rows * dim;
  }

  @Override
  int width() {
    return dim;
  }

  @Override
  void allocateGradient(Scratch scratch) {
    entering = scratch.floats(layout.rows());
    leaving = scratch.floats(layout.rows());
    inverse = scratch.floats(layout.rows());
    leftFactors = scratch.floats(layout.rows());
    anchoredGradient = scratch.floats(layout.rows());
    sums = scratch.doubles(dim);
  }

  @Override
  void beginGradient() {
    int size = count * dim;
    System.arraycopy(exponents, 0, entering, 0, size);
    if (reach == count) {
      System.arraycopy(moved, 0, inverse, 0, size);
      for (int j = 0; j < count; j++) {
        kernels.multiplyElements(dim, inverse, j * dim, lastFactors, 0, leaving, j * dim);
      }
    } else {
      System.arraycopy(moved, 0, inverse, 0, reach * dim);
      distancesFrom(count - 1, count, leaving);
    }
    Arrays.fill(sums, 0);
  }

  @Override
  void carry(float[] left, float[] carried) {
    carry(left, entering, carried);
  }

  @Override
  void depart(float[] k, int ko, float[] departed) {
    kernels.multiplyElements(count * dim, k, ko, leaving, 0, departed, 0);
  }

  @Override
  void allScores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    scores(left, carried, k, ko, scores, transposed);
  }

  @Override
  void uncarry(float[] left, float[] gradLeft) {
    carry(gradLeft, entering, gradLeft);
  }

  @Override
  void undepart(float[] k, int ko, float[] gradKeys) {
    kernels.multiplyElements(count * dim, gradKeys, 0, leaving, 0, gradKeys, 0);
    addProducts(count * dim, dim, k, ko, gradKeys, sums);
  }

  private static void addProducts(int size, int dim, float[] x, int xo, float[] y, double[] sums) {
    for (int row = 0; row < size; row += dim) {
      for (int a = 0; a < dim; a++) {
        sums[a] += (double) x[xo + row + a] * y[row + a];
      }
    }
  }

  @Override
  void unstate(float[] s, int so, float[] r, int ro, int valueDim) {
    for (int a = 0; a < dim; a++) {
      int at = a * valueDim;
      sums[a] += (double) lastFactors[a] * kernels.dot(valueDim, s, so + at, r, ro + at);
    }
  }

  @Override
  void unscore(
      float[] gradScores,
      float[] scores,
      float[] left,
      float[] carried,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {
    if (reach > 0) {
      block(0, reach, gradScores, carried, entering, k, ko, inverse, gradLeft, gradKeys);
    }
    for (int anchor = reach; anchor < count; ) {
      int end = outOfReach(anchor, endOfSubChunk(anchor));
      distancesFrom(anchor, end, exponents);
      distancesTo(anchor, end, leftFactors);
      for (int side = 0; side < sides; side++) {
        int rows = (side * count + anchor + shift(side)) * dim;
        int size = (Math.min(end, count - shift(side)) - anchor) * dim;
        kernels.multiplyElements(size, left, rows, leftFactors, 0, anchoredLeft, rows);
      }
      block(
          anchor, end, gradScores, anchoredLeft, leftFactors, k, ko, exponents, gradLeft, gradKeys);
      anchor = end;
    }
  }

  /// What the scores of rows `from` to `to - 1` give, which meet keys 0 to `to - 1` relative to one
  /// anchor.
  ///
  /// @param anchored left rows `[sides · count, d]` times their factors
  /// @param rowFactors factors of the rows, from row `from` on
  /// @param keyFactors factors of the keys
  private void block(
      int from,
      int to,
      float[] gradScores,
      float[] anchored,
      float[] rowFactors,
      float[] k,
      int ko,
      float[] keyFactors,
      float[] gradLeft,
      float[] gradKeys) {
    kernels.multiplyElements(to * dim, k, ko, keyFactors, 0, moved, 0);
    for (int side = 0; side < sides; side++) {
      int first = side * count + from + shift(side);
      int rows = Math.min(to, count - shift(side)) - from;
      kernels.multiplyLower(
          rows,
          dim,
          to,
          from,
          gradScores,
          first * chunk,
          chunk,
          moved,
          0,
          dim,
          anchoredGradient,
          0,
          dim,
          false);
      kernels.multiplyElements(rows * dim, anchoredGradient, 0, rowFactors, 0, anchoredGradient, 0);
      int at = first * dim;
      kernels.add(rows * dim, gradLeft, at, anchoredGradient, 0, gradLeft, at);
    }
    for (int side = 0; side < sides; side++) {
      int first = side * count + from + shift(side);
      int rows = Math.min(to, count - shift(side)) - from;
      boolean more = side > 0;
      kernels.multiplyTransposedA(
          from,
          dim,
          rows,
          gradScores,
          first * chunk,
          chunk,
          anchored,
          first * dim,
          dim,
          anchoredGradient,
          0,
          dim,
          more);
      kernels.multiplyTransposedLower(
          rows,
          dim,
          gradScores,
          first * chunk + from,
          chunk,
          anchored,
          first * dim,
          dim,
          anchoredGradient,
          from * dim,
          dim,
          more);
    }
    kernels.multiplyElements(to * dim, anchoredGradient, 0, keyFactors, 0, anchoredGradient, 0);
    kernels.add(to * dim, gradKeys, 0, anchoredGradient, 0, gradKeys, 0);
  }

  @Override
  void addGradient(
      int batch,
      int first,
      int row,
      int part,
      float[] left,
      float[] k,
      int ko,
      float[] gradLeft,
      float[] gradKeys) {
    float[] gradient = rule.gradLogDecays();
    if (gradient.length == 0) {
      return;
    }
    for (int i = count - 1; i >= 0; i--) {
      for (int side = 0; side < sides; side++) {
        int own = i + shift(side);
        int at = (side * count + own) * dim;
        if (own < count) {
          addProducts(dim, left, at, gradLeft, at, sums);
        }
      }
      subtractProducts(dim, k, ko + i * dim, gradKeys, i * dim, sums);
      if ((row + i) % steps == 0 && layout.mask().isRealKey(batch, first + i)) {
        addRounded(dim, sums, gradient, (row + i) / steps * dim);
      }
    }
  }

  private static void addProducts(int n, float[] x, int xo, float[] y, int yo, double[] sums) {
    for (int a = 0; a < n; a++) {
      sums[a] += (double) x[xo + a] * y[yo + a];
    }
  }

  private static void subtractProducts(int n, float[] x, int xo, float[] y, int yo, double[] sums) {
    for (int a = 0; a < n; a++) {
      sums[a] -= (double) x[xo + a] * y[yo + a];
    }
  }

  private static void addRounded(int n, double[] x, float[] y, int yo) {
    for (int a = 0; a < n; a++) {
      y[yo + a] += (float) x[a];
    }
  }
}
