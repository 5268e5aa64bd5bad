// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Scratch;
import java.util.Arrays;

/// Segment means of the rows of a sequence, in double precision: the landmarks of one (batch entry,
/// head).
///
/// A row that is not real enters as zero and is never read.
final class Landmarks {

  /// Tells real rows of a batch entry from padding.
  @FunctionalInterface
  interface RealRows {
    /// Whether row `i` of a batch entry is real.
    boolean test(int batch, int i);
  }

  private final int m;
  private final int d;
  private final int n;
  private final boolean frontPadding;
  final double[] mean;
  final int[] realRows;

  /// @param scratch allocator
  /// @param m number of landmarks
  /// @param d width of a row
  /// @param n number of rows
  /// @param frontPadding whether zero rows are put in front up to a multiple of m
  Landmarks(Scratch scratch, int m, int d, int n, boolean frontPadding) {
    this.m = m;
    this.d = d;
    this.n = n;
    this.frontPadding = frontPadding;
    mean = scratch.doubles((long) m * d);
    realRows = scratch.ints(m);
  }

  /// Bytes the constructor allocates.
  static long bytes(int m, int d) {
    return (long) m * d * Double.BYTES + (long) m * Integer.BYTES;
  }

  /// Length of the sequence after padding in front.
  int paddedLength() {
    return frontPadding ? Math.ceilDiv(n, m) * m : n;
  }

  /// First row of a segment; rows before 0 are padding in front.
  int start(int segment) {
    if (frontPadding) {
      return segment * (paddedLength() / m) - (paddedLength() - n);
    }
    int shorter = n / m;
    int shorterSegments = (shorter + 1) * m - n;
    return segment * shorter + Math.max(0, segment - shorterSegments);
  }

  /// Sums the real rows of every segment and divides by the segment's length, or by the number of
  /// real rows plus eps.
  ///
  /// @param x rows, from `xo`
  /// @param batch the batch entry the rows belong to
  /// @param real which rows count
  /// @param byRealRows whether to divide by the number of real rows plus `eps`
  void take(float[] x, int xo, int batch, RealRows real, boolean byRealRows, double eps) {
    Arrays.fill(mean, 0);
    for (int a = 0; a < m; a++) {
      int end = a + 1 == m ? n : start(a + 1);
      int rows = 0;
      for (int i = Math.max(0, start(a)); i < end; i++) {
        if (real.test(batch, i)) {
          rows++;
          add(x, xo + i * d, a * d);
        }
      }
      realRows[a] = rows;
      double divisor = byRealRows ? rows + eps : end - start(a);
      for (int c = 0; c < d && rows > 0; c++) {
        mean[a * d + c] /= divisor;
      }
    }
  }

  /// One row at a time: with four rows per pass the whole mechanism was 2 to 5 % slower.
  private void add(float[] x, int xo, int to) {
    for (int c = 0; c < d; c++) {
      mean[to + c] += x[xo + c];
    }
  }

  /// Counts the real rows of every segment, as [#take] does.
  void count(int batch, RealRows real) {
    for (int a = 0; a < m; a++) {
      int end = a + 1 == m ? n : start(a + 1);
      realRows[a] = 0;
      for (int i = Math.max(0, start(a)); i < end; i++) {
        realRows[a] += real.test(batch, i) ? 1 : 0;
      }
    }
  }

  /// Adds to the gradients of the rows what those of their landmarks give.
  ///
  /// @param gradient `[m, d]` from `go`
  /// @param to rows, from `o`
  void spread(
      double[] gradient,
      int go,
      int batch,
      RealRows real,
      boolean byRealRows,
      double eps,
      float[] to,
      int o) {
    for (int a = 0; a < m; a++) {
      int end = a + 1 == m ? n : start(a + 1);
      double divisor = byRealRows ? realRows[a] + eps : end - start(a);
      for (int i = Math.max(0, start(a)); i < end; i++) {
        if (real.test(batch, i)) {
          for (int c = 0; c < d; c++) {
            to[o + i * d + c] += (float) (gradient[go + a * d + c] / divisor);
          }
        }
      }
    }
  }
}
