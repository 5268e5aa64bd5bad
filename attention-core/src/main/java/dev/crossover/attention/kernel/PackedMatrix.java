// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;

/// The right operand of a product, arranged once for many products: panels of as many columns as a
/// block product holds in registers, one panel after the other, each `[k, panel width]`.
///
/// A map that is applied to many blocks of rows is packed once per step instead of once per block.
/// Panels may be packed concurrently.
public final class PackedMatrix {
  /// Columns of a panel where the kernels state none of their own.
  private static final int DEFAULT_WIDTH = 64;

  /// A transposition may write this many floats too far.
  private static final int SLACK = 16;

  private final Kernels kernels = Kernels.get();
  private final int k;
  private final int n;
  private final int width;
  private final float[] panels;

  /// @param scratch allocator
  /// @param k rows of the right operand
  /// @param n its columns
  public PackedMatrix(Scratch scratch, int k, int n) {
    this.k = k;
    this.n = n;
    int own = kernels.transposedBScratch(1, 1);
    width = own > 0 ? own : DEFAULT_WIDTH;
    panels = scratch.floats((long) panels() * k * width + SLACK);
  }

  /// Number of panels.
  public int panels() {
    return Math.ceilDiv(n, width);
  }

  /// Packs one panel of B stored `[k, n]`.
  public void pack(int panel, float[] b, int bo, int ldb) {
    int columns = Math.min(width, n - panel * width);
    int to = panel * k * width;
    int from = bo + panel * width;
    for (int row = 0; row < k; row++) {
      System.arraycopy(b, from + row * ldb, panels, to + row * width, columns);
    }
  }

  /// Packs one panel of B stored transposed, `[n, k]`.
  public void packTransposed(int panel, float[] b, int bo, int ldb) {
    int columns = Math.min(width, n - panel * width);
    int to = panel * k * width;
    int from = bo + panel * width * ldb;
    if (KernelSelection.VECTOR && width % SLACK == 0) {
      Packing.transpose(b, from, ldb, columns, k, 1, panels, to, width, width);
      return;
    }
    for (int c = 0; c < columns; c++) {
      for (int row = 0; row < k; row++) {
        panels[to + row * width + c] = b[from + c * ldb + row];
      }
    }
  }

  /// `C[m,n] (+)= A[m,k] · B`.
  public void multiply(
      int m, float[] a, int ao, int lda, float[] c, int co, int ldc, boolean accumulate) {
    for (int panel = 0; panel < panels(); panel++) {
      int columns = Math.min(width, n - panel * width);
      kernels.multiply(
          m,
          columns,
          k,
          a,
          ao,
          lda,
          panels,
          panel * k * width,
          width,
          c,
          co + panel * width,
          ldc,
          accumulate);
    }
  }
}
