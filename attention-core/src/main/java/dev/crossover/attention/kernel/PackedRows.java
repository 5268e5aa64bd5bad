// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// Rows of unsigned numbers of few bits, which share scales and minima in groups: restored, or met
/// by one vector while they are widened in registers.
///
/// A row of d numbers of b bits takes s = [#stride] bytes and lies in planes: number c is in byte c
/// mod s, in bits (c div s) · b and up. So a vector of bytes holds neighbours in every plane, and
/// nothing has to be interleaved.
///
/// Chosen once like all kernels, as [NarrowRows] are.
public final class PackedRows {
  private static final boolean VECTOR = KernelSelection.VECTOR && Lanes.L >= 8;

  private PackedRows() {}

  /// Bytes of a row.
  ///
  /// @param bits 2, 4 or 8
  public static int stride(int dim, int bits) {
    return Math.ceilDiv(dim, 8 / bits);
  }

  /// `y[c] = code[c] · scale[c] + minimum[c]` of one row, rounded twice: rows share what belongs to
  /// a column.
  ///
  /// @param bo first byte of the row
  /// @param go scale and minimum of column 0
  public static void restoreColumns(
      int dim,
      int bits,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    if (VECTOR) {
      VectorPackedRows.restoreColumns(dim, bits, b, bo, scale, minimum, go, y, yo);
    } else {
      ScalarPackedRows.restoreColumns(0, dim, dim, bits, b, bo, scale, minimum, go, y, yo);
    }
  }

  /// `y[c] = code[c] · scale[c div group] + minimum[c div group]` of one row, rounded twice:
  /// columns next to each other share.
  ///
  /// @param go scale and minimum of the first group
  public static void restoreGroups(
      int dim,
      int bits,
      int group,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    if (VECTOR && group % Lanes.L == 0) {
      VectorPackedRows.restoreGroups(dim, bits, group, b, bo, scale, minimum, go, y, yo);
    } else {
      ScalarPackedRows.restoreGroups(0, dim, dim, bits, group, b, bo, scale, minimum, go, y, yo);
    }
  }

  /// Whether [#dots] widens in registers; otherwise restored rows and a product of floats are as
  /// fast.
  public static boolean dotsInRegisters(int dim, int bits) {
    return VECTOR && bits > 2 && stride(dim, bits) * (8 / bits) == dim && wholeVectors(dim, bits);
  }

  /// Whether [#mix] widens in registers; see [#dotsInRegisters].
  public static boolean mixInRegisters(int dim, int bits, int group) {
    return dotsInRegisters(dim, bits) && group % Lanes.L == 0;
  }

  private static boolean wholeVectors(int dim, int bits) {
    return stride(dim, bits) % Lanes.L == 0;
  }

  /// `y[j] = shift + Σ_c x[c] · code[j, c]` for n rows.
  ///
  /// @param x the vector, times the scale of every column
  /// @param shift product of the vector and the minima
  public static void dots(
      int n,
      int dim,
      int bits,
      float[] x,
      int xo,
      float shift,
      byte[] b,
      int bo,
      float[] y,
      int yo) {
    if (!dotsInRegisters(dim, bits)) {
      ScalarPackedRows.dots(n, dim, bits, x, xo, shift, b, bo, y, yo);
    } else if (bits == 8) {
      VectorPackedRows.dotsOfBytes(n, dim, x, xo, shift, b, bo, y, yo);
    } else {
      VectorPackedRows.dotsOfHalves(n, dim, x, xo, shift, b, bo, y, yo);
    }
  }

  /// `y[c] += Σ_j w[j] · (code[j, c] · scale[j, c div group] + minimum[j, c div group])` for n
  /// rows.
  ///
  /// @param group columns that share, a divisor of `dim`
  /// @param go scale and minimum of the first group of the first row
  public static void mix(
      int n,
      int dim,
      int bits,
      int group,
      float[] w,
      int wo,
      byte[] b,
      int bo,
      float[] scale,
      float[] minimum,
      int go,
      float[] y,
      int yo) {
    if (!mixInRegisters(dim, bits, group)) {
      ScalarPackedRows.mix(n, dim, bits, group, w, wo, b, bo, scale, minimum, go, y, yo);
    } else if (bits == 8) {
      VectorPackedRows.mixOfBytes(n, dim, group, w, wo, b, bo, scale, minimum, go, y, yo);
    } else {
      VectorPackedRows.mixOfHalves(n, dim, group, w, wo, b, bo, scale, minimum, go, y, yo);
    }
  }
}
