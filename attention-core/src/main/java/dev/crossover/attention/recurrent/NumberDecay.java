// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.Scratch;

/// Decay by one number per row: exponents beyond reach are one number per pair of rows.
abstract class NumberDecay extends ChunkDecay {
  /// Largest distance of decays per row: `exp(ROW_REACH)²` is far from overflow.
  static final double ROW_REACH = 40;

  /// `exp(c_i − c_j)` for j ≤ i and 0 above, in the rows where it is needed.
  final float[] table;

  /// `exp(c_i)`, and from `chunk` on `exp(−c_i)`, which is of use within reach only.
  final float[] factors;

  /// `exp(c_last − c_j)`.
  final float[] leaving;

  private final float[] moved;

  NumberDecay(ChunkLayout layout, Scratch scratch) {
    super(layout);
    table = scratch.floats((long) chunk * chunk);
    factors = scratch.floats(2L * chunk);
    leaving = scratch.floats(chunk);
    moved = scratch.floats(layout.rows());
  }

  /// Fills the table in rows from `from` on.
  abstract void differences(int from);

  /// Fills [#leaving].
  abstract void departures();

  @Override
  final boolean byNumber() {
    return true;
  }

  @Override
  final float factor(int i) {
    return factors[i];
  }

  @Override
  final int plainFrom() {
    return reach;
  }

  @Override
  final float[] moved() {
    return moved;
  }

  @Override
  final void scores(
      float[] left, float[] carried, float[] k, int ko, float[] scores, float[] transposed) {
    kernels.scaleRows(reach, dim, factors, chunk, k, ko, dim, moved, 0, dim);
    if (reach > 0) {
      // Rows beyond reach take part, so that the kernel, and with it the bits of a row, do not
      // depend on how many there are.
      lower(carried, moved, 0, scores, transposed);
    }
    if (reach < count) {
      beyondReach(left, k, ko, scores, transposed);
      depart(k, ko, moved);
    }
  }

  @Override
  final void keys(float[] k, int ko) {
    if (reach == count) {
      kernels.scaleRows(count, dim, factors, chunk, k, ko, dim, moved, 0, dim);
    } else {
      depart(k, ko, moved);
    }
  }

  /// Scores of the rows beyond reach: products times exp(c_i − c_j).
  private void beyondReach(float[] left, float[] k, int ko, float[] scores, float[] transposed) {
    differences(reach);
    int rows = count - reach;
    for (int side = 0; side < sides; side++) {
      int row = side * count + reach;
      int at = row * chunk;
      kernels.multiplyTransposedB(
          rows,
          count,
          dim,
          left,
          row * dim,
          dim,
          k,
          ko,
          dim,
          scores,
          at,
          chunk,
          false,
          transposed,
          0);
      for (int i = 0; i < rows; i++) {
        int o = at + i * chunk;
        kernels.multiplyElements(count, scores, o, table, (reach + i) * chunk, scores, o);
      }
    }
  }

  @Override
  final void state(float[] state, int at, int width, int stride) {
    kernels.scale(dim * stride, factors[count - 1], state, at, state, at);
  }

  @Override
  final void carry(float[] left, float[] carried) {
    for (int side = 0; side < sides; side++) {
      int rows = side * count * dim;
      kernels.scaleRows(count, dim, factors, 0, left, rows, dim, carried, rows, dim);
    }
  }

  @Override
  final void depart(float[] k, int ko, float[] departed) {
    departures();
    kernels.scaleRows(count, dim, leaving, 0, k, ko, dim, departed, 0, dim);
  }

  /// Row i of the products times row i of the table, up to the diagonal.
  final void decayed(float[] products, float[] scores) {
    for (int row = 0; row < sides * count; row++) {
      int i = row % count;
      int at = row * chunk;
      kernels.multiplyElements(i + 1, products, at, table, i * chunk, scores, at);
    }
  }
}
