// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import org.jspecify.annotations.Nullable;

/// Rows of one head in one form: appended, restored when read, dropped from the end or from among
/// them. Grows by doubling when it is full; until then nothing is allocated.
abstract class RowStore {
  /// Numbers of a row.
  protected final int dim;

  private int count;

  /// @param dim numbers of a row
  RowStore(int dim) {
    this.dim = dim;
  }

  /// Rows stored.
  final int count() {
    return count;
  }

  /// Stores a row behind the last.
  final void append(float[] row, int at) {
    reserve(count + 1);
    beforeAppend(count);
    write(count, row, at);
    count++;
  }

  /// Encodes what the next row would find encoded.
  final void settle() {
    beforeAppend(count);
  }

  /// Restores the rows `from … to - 1`.
  abstract void read(int from, int to, float[] into, int at);

  /// Dot products of some query rows with the rows `from … to - 1`. A single query row meets them
  /// in registers where it can; several meet rows that lie as floats or are restored once.
  ///
  /// @param count query rows, `dim` apart from `qo`
  /// @param scores that of query row r and row j goes to `so + r * lds + j - from`
  final void dots(
      int count,
      float[] q,
      int qo,
      int from,
      int to,
      float[] scores,
      int so,
      int lds,
      RowTile tile) {
    if (count == 1 && dotsInRegisters(q, qo, from, to, scores, so, tile)) {
      return;
    }
    float[] inPlace = inPlace();
    float[] rows = inPlace == null ? tile.rows() : inPlace;
    for (int j = from; j < to; j += RowTile.ROWS) {
      int n = Math.min(RowTile.ROWS, to - j);
      int ro = inPlace == null ? 0 : j * dim;
      if (inPlace == null) {
        read(j, j + n, rows, 0);
      }
      tile.kernels.multiplyTransposedB(
          count,
          n,
          dim,
          q,
          qo,
          dim,
          rows,
          ro,
          dim,
          scores,
          so + j - from,
          lds,
          false,
          tile.work,
          0);
    }
  }

  /// Adds weighted sums of the rows `from … to - 1`, of their first `width` numbers.
  ///
  /// @param count output rows, `width` apart from `oo`
  /// @param w the weight of row j for output row r is at `wo + r * ldw + j - from`
  final void mix(
      int count,
      float[] w,
      int wo,
      int ldw,
      int from,
      int to,
      int width,
      float[] out,
      int oo,
      RowTile tile) {
    if (count == 1 && mixInRegisters(w, wo, from, to, width, out, oo)) {
      return;
    }
    float[] inPlace = inPlace();
    float[] rows = inPlace == null ? tile.rows() : inPlace;
    int most = inPlace == null ? RowTile.ROWS : to - from;
    for (int j = from; j < to; j += most) {
      int n = Math.min(most, to - j);
      int ro = inPlace == null ? 0 : j * dim;
      if (inPlace == null) {
        read(j, j + n, rows, 0);
      }
      tile.kernels.multiply(
          count, width, n, w, wo + j - from, ldw, rows, ro, dim, out, oo, width, true);
    }
  }

  /// Writes the dot products of one query row, where rows are widened in registers.
  ///
  /// @param tile room for a row that the query is turned into
  /// @return false where they are not, and nothing was written
  boolean dotsInRegisters(
      float[] q, int qo, int from, int to, float[] scores, int so, RowTile tile) {
    return false;
  }

  /// Adds the weighted sum for one output row, where rows are widened in registers.
  ///
  /// @return false where they are not, and nothing was added
  boolean mixInRegisters(float[] w, int wo, int from, int to, int width, float[] out, int oo) {
    return false;
  }

  /// The code of a number, or −1 where it is in full precision.
  abstract int code(int row, int channel);

  /// Bytes that the stored rows need.
  abstract long bytes();

  /// A copy that grows apart.
  abstract RowStore copy();

  /// Forgets all but the first rows.
  final void truncate(int rows) {
    count = rows;
    afterTruncate(rows);
  }

  /// Keeps only the listed rows, in ascending order.
  ///
  /// @throws UnsupportedOperationException where rows share scales
  void keep(int[] rows, int at, int kept) {
    for (int r = 0; r < kept; r++) {
      move(rows[at + r], r);
    }
    count = kept;
  }

  /// Forgets the rows `from … to - 1`; later ones move up.
  ///
  /// @throws UnsupportedOperationException where rows share scales
  void drop(int from, int to) {
    for (int r = to; from < to && r < count; r++) {
      move(r, from + r - to);
    }
    count -= to - from;
  }

  /// Fewest rows, besides none, that [#truncate] may leave.
  int earliest() {
    return 0;
  }

  /// The rows themselves, where they are floats, one after the other; null otherwise.
  float @Nullable [] inPlace() {
    return null;
  }

  /// Makes room for this many rows.
  abstract void reserve(int rows);

  /// Encodes a row in place `row`.
  abstract void write(int row, float[] values, int at);

  /// Copies the encoded row `from` to place `to`, which is not behind it.
  abstract void move(int from, int to);

  /// Called before the row after `rows` rows is stored.
  void beforeAppend(int rows) {}

  /// Called when only `rows` rows are left.
  void afterTruncate(int rows) {}

  /// Takes the count of a store that this one is a copy of.
  final <S extends RowStore> S counted(S copy) {
    RowStore other = copy;
    other.count = count;
    return copy;
  }

  /// A length at least doubled until it reaches `needed`.
  static int grown(int length, int needed) {
    return length >= needed
        ? length
        : Math.max(needed, Math.min(2 * length, Integer.MAX_VALUE - 8));
  }
}
