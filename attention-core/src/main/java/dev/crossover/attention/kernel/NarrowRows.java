// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// Products of one vector with rows stored in fewer bits, which are widened in registers on the way
/// to the multiplication: a decoding query reads a cached row once, so that writing it down as
/// floats first would cost as much as the product.
///
/// Chosen once like all kernels: vector code from 256 bits on, where a vector of bytes is at least
/// the smallest there is; the scalar twin otherwise. Halves have no place here: only a loop over
/// [Float#float16ToFloat] becomes the processor's instruction, so that they are widened into the
/// first-level cache by [Widening#half].
public final class NarrowRows {
  private static final boolean VECTOR = KernelSelection.VECTOR && Lanes.L >= 8;

  private NarrowRows() {}

  /// Whether rows are widened in registers; otherwise [Widening] and a product of floats are as
  /// fast.
  public static boolean isFused() {
    return VECTOR;
  }

  /// `y[j] = scale[j] · Σ_c x[c] · b[j·dim + c]` for n rows of signed bytes.
  ///
  /// @param so where the scale of the first row is
  public static void byteDots(
      int n,
      int dim,
      float[] x,
      int xo,
      byte[] b,
      int bo,
      float[] scale,
      int so,
      float[] y,
      int yo) {
    if (VECTOR) {
      ByteRowsProducts.dots(n, dim, x, xo, b, bo, y, yo);
      Kernels.get().multiplyElements(n, y, yo, scale, so, y, yo);
    } else {
      ScalarNarrowRows.byteDots(n, dim, x, xo, b, bo, scale, so, y, yo);
    }
  }

  /// `y[j] = Σ_c x[c] · b[j·dim + c]` for n rows of bfloat16.
  public static void brainDots(
      int n, int dim, float[] x, int xo, short[] b, int bo, float[] y, int yo) {
    if (VECTOR) {
      BrainRowsProducts.dots(n, dim, x, xo, b, bo, y, yo);
    } else {
      ScalarNarrowRows.brainDots(n, dim, x, xo, b, bo, y, yo);
    }
  }

  /// `y[c] += Σ_j w[j] · scale[j] · b[j·dim + c]` for n rows of signed bytes.
  ///
  /// @param width columns that are wanted, at most `dim`
  public static void byteMix(
      int n,
      int dim,
      int width,
      float[] w,
      int wo,
      byte[] b,
      int bo,
      float[] scale,
      int so,
      float[] y,
      int yo) {
    if (VECTOR) {
      ByteRowsProducts.mix(n, dim, width, w, wo, b, bo, scale, so, y, yo);
    } else {
      ScalarNarrowRows.byteMix(n, dim, 0, width, w, wo, b, bo, scale, so, y, yo);
    }
  }

  /// `y[c] += Σ_j w[j] · b[j·dim + c]` for n rows of bfloat16.
  ///
  /// @param width columns that are wanted, at most `dim`
  public static void brainMix(
      int n, int dim, int width, float[] w, int wo, short[] b, int bo, float[] y, int yo) {
    if (VECTOR) {
      BrainRowsProducts.mix(n, dim, width, w, wo, b, bo, y, yo);
    } else {
      ScalarNarrowRows.brainMix(n, dim, 0, width, w, wo, b, bo, y, yo);
    }
  }
}
