// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import java.util.Arrays;

/// Plain loops that read like the formulas: the twin every vector kernel is tested against, and
/// what runs where the vector module is absent.
final class ScalarKernels implements Kernels {
  private final String description;

  ScalarKernels() {
    this("scalar");
  }

  ScalarKernels(String description) {
    this.description = description;
  }

  @Override
  public String description() {
    return description;
  }

  @Override
  public int lanes() {
    return 1;
  }

  @Override
  public void multiply(
      int m,
      int n,
      int k,
      float[] a,
      int ao,
      int lda,
      float[] b,
      int bo,
      int ldb,
      float[] c,
      int co,
      int ldc,
      boolean accumulate) {
    multiplyLower(m, n, k, k, a, ao, lda, b, bo, ldb, c, co, ldc, accumulate);
  }

  @Override
  public void multiplyTransposedA(
      int m,
      int n,
      int k,
      float[] a,
      int ao,
      int lda,
      float[] b,
      int bo,
      int ldb,
      float[] c,
      int co,
      int ldc,
      boolean accumulate) {
    for (int i = 0; i < m; i++) {
      clear(n, c, co + i * ldc, accumulate);
      for (int l = 0; l < k; l++) {
        axpy(n, a[ao + l * lda + i], b, bo + l * ldb, c, co + i * ldc);
      }
    }
  }

  @Override
  public void multiplyTransposedB(
      int m,
      int n,
      int k,
      float[] a,
      int ao,
      int lda,
      float[] b,
      int bo,
      int ldb,
      float[] c,
      int co,
      int ldc,
      boolean accumulate,
      float[] work,
      int wo) {
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < n; j++) {
        float product = dot(k, a, ao + i * lda, b, bo + j * ldb);
        c[co + i * ldc + j] = accumulate ? c[co + i * ldc + j] + product : product;
      }
    }
  }

  @Override
  public int transposedBScratch(int n, int k) {
    return 0;
  }

  @Override
  public void multiplyLower(
      int m,
      int n,
      int k,
      int offset,
      float[] a,
      int ao,
      int lda,
      float[] b,
      int bo,
      int ldb,
      float[] c,
      int co,
      int ldc,
      boolean accumulate) {
    for (int i = 0; i < m; i++) {
      clear(n, c, co + i * ldc, accumulate);
      for (int j = 0; j < k && j <= i + offset; j++) {
        axpy(n, a[ao + i * lda + j], b, bo + j * ldb, c, co + i * ldc);
      }
    }
  }

  @Override
  public void multiplyTransposedBLower(
      int stacked,
      int m,
      int n,
      int k,
      float[] a,
      int ao,
      int lda,
      float[] b,
      int bo,
      int ldb,
      float[] c,
      int co,
      int ldc,
      float[] work,
      int wo) {
    for (int row = 0; row < stacked * m; row++) {
      for (int j = 0; j < n && j <= row % m; j++) {
        c[co + row * ldc + j] = dot(k, a, ao + row * lda, b, bo + j * ldb);
      }
    }
  }

  @Override
  public void substituteForward(
      int m, int n, float[] a, int ao, int lda, float[] c, int co, int ldc) {
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < i; j++) {
        axpy(n, a[ao + i * lda + j], c, co + j * ldc, c, co + i * ldc);
      }
    }
  }

  @Override
  public void multiplyTransposedLower(
      int m,
      int n,
      float[] a,
      int ao,
      int lda,
      float[] b,
      int bo,
      int ldb,
      float[] c,
      int co,
      int ldc,
      boolean accumulate) {
    for (int j = 0; j < m; j++) {
      clear(n, c, co + j * ldc, accumulate);
      for (int i = j; i < m; i++) {
        axpy(n, a[ao + i * lda + j], b, bo + i * ldb, c, co + j * ldc);
      }
    }
  }

  @Override
  public void substituteBackward(
      int m, int n, float[] a, int ao, int lda, float[] c, int co, int ldc) {
    for (int j = m - 1; j >= 0; j--) {
      for (int i = j + 1; i < m; i++) {
        axpy(n, a[ao + i * lda + j], c, co + i * ldc, c, co + j * ldc);
      }
    }
  }

  @Override
  public float dot(int n, float[] x, int xo, float[] y, int yo) {
    float sum = 0;
    for (int i = 0; i < n; i++) {
      sum = Math.fma(x[xo + i], y[yo + i], sum);
    }
    return sum;
  }

  @Override
  public void dotRows(
      int m, int n, float[] a, int ao, int lda, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < m; i++) {
      y[yo + i] = dot(n, a, ao + i * lda, x, xo);
    }
  }

  @Override
  public float sum(int n, float[] x, int xo) {
    float sum = 0;
    for (int i = 0; i < n; i++) {
      sum += x[xo + i];
    }
    return sum;
  }

  @Override
  public float max(int n, float[] x, int xo) {
    float max = Float.NEGATIVE_INFINITY;
    for (int i = 0; i < n; i++) {
      max = Math.max(max, x[xo + i]);
    }
    return max;
  }

  @Override
  public float largestMagnitude(int n, float[] x, int xo) {
    float largest = 0;
    for (int i = 0; i < n; i++) {
      largest = Math.max(largest, Math.abs(x[xo + i]));
    }
    return largest;
  }

  @Override
  public void axpy(int n, float alpha, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = Math.fma(alpha, x[xo + i], y[yo + i]);
    }
  }

  @Override
  public void quadratic(int n, float a, float b, float c, float[] x, int xo) {
    for (int i = xo; i < xo + n; i++) {
      x[i] = Math.fma(Math.fma(a, x[i], b), x[i], c);
    }
  }

  @Override
  public void upperProducts(
      int d, float alpha, float diagonal, float[] x, int xo, float[] y, int yo) {
    int o = yo;
    for (int a = 0; a < d; a++) {
      upperProductRow(d - a, alpha, diagonal, x, xo + a, y, o);
      o += d - a;
    }
  }

  /// One row of the upper triangle: the products of `x[xo]` with itself and what follows it.
  void upperProductRow(int n, float alpha, float diagonal, float[] x, int xo, float[] y, int yo) {
    y[yo] = x[xo] * diagonal * x[xo];
    for (int j = 1; j < n; j++) {
      y[yo + j] = x[xo] * alpha * x[xo + j];
    }
  }

  @Override
  public void scale(int n, float alpha, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = alpha * x[xo + i];
    }
  }

  @Override
  public void scaleRows(
      int rows,
      int n,
      float[] factor,
      int fo,
      float[] x,
      int xo,
      int ldx,
      float[] y,
      int yo,
      int ldy) {
    for (int r = 0; r < rows; r++) {
      scale(n, factor[fo + r], x, xo + r * ldx, y, yo + r * ldy);
    }
  }

  @Override
  public void add(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo) {
    for (int i = 0; i < n; i++) {
      z[zo + i] = x[xo + i] + y[yo + i];
    }
  }

  @Override
  public void multiplyElements(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo) {
    for (int i = 0; i < n; i++) {
      z[zo + i] = x[xo + i] * y[yo + i];
    }
  }

  @Override
  public float exp(int n, float scale, float shift, float[] x, int xo, float[] y, int yo) {
    float sum = 0;
    for (int i = 0; i < n; i++) {
      y[yo + i] = exp(Math.fma(scale, x[xo + i], shift));
      sum += y[yo + i];
    }
    return sum;
  }

  @Override
  public void softmax(int n, float[] x, int xo) {
    float max = max(n, x, xo);
    if (max == Float.NEGATIVE_INFINITY) {
      Arrays.fill(x, xo, xo + n, 0);
      return;
    }
    float sum = exp(n, 1, -max, x, xo, x, xo);
    scale(n, 1 / sum, x, xo, x, xo);
  }

  @Override
  public void softmaxRows(
      int rows,
      int n,
      float scale,
      float[] x,
      int xo,
      int ldx,
      float[] y,
      int yo,
      int ldy,
      float[] work,
      int wo) {
    for (int r = 0; r < rows; r++) {
      scale(n, scale, x, xo + r * ldx, y, yo + r * ldy);
      softmax(n, y, yo + r * ldy);
    }
  }

  @Override
  public void maximaOfColumns(int rows, int n, float[] x, int xo, int ldx, float[] y, int yo) {
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < n; c++) {
        float value = x[xo + r * ldx + c];
        y[yo + c] = value > y[yo + c] ? value : y[yo + c];
      }
    }
  }

  @Override
  public void expOfColumns(
      int rows,
      int n,
      float[] minus,
      int mo,
      float[] x,
      int xo,
      float[] y,
      int yo,
      float[] sums,
      int so) {
    expOfLastColumns(rows, n, 0, minus, mo, x, xo, y, yo, sums, so);
  }

  /// [#expOfColumns] for columns `from … n - 1`.
  void expOfLastColumns(
      int rows,
      int n,
      int from,
      float[] minus,
      int mo,
      float[] x,
      int xo,
      float[] y,
      int yo,
      float[] sums,
      int so) {
    for (int r = 0; r < rows; r++) {
      for (int c = from; c < n; c++) {
        float e = exp(x[xo + r * n + c] - minus[mo + c]);
        y[yo + r * n + c] = e;
        sums[so + c] += e;
      }
    }
  }

  @Override
  public void eluPlusOne(int n, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      float value = x[xo + i];
      y[yo + i] = value > 0 ? value + 1 : exp(value);
    }
  }

  @Override
  public void relu(int n, float shift, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = Math.max(x[xo + i], 0) + shift;
    }
  }

  @Override
  public void keepAbove(int n, float bound, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = x[xo + i] > bound ? y[yo + i] : 0;
    }
  }

  @Override
  public void transpose(
      int rows, int columns, float[] x, int xo, int ldx, float[] y, int yo, int ldy) {
    for (int r = 0; r < rows; r++) {
      for (int c = 0; c < columns; c++) {
        y[yo + c * ldy + r] = x[xo + r * ldx + c];
      }
    }
  }

  @Override
  public void sinCos(int n, float[] x, int xo, float[] s, int so, float[] c, int co) {
    for (int i = 0; i < n; i++) {
      double angle = x[xo + i];
      s[so + i] = (float) Math.sin(angle);
      c[co + i] = (float) Math.cos(angle);
    }
  }

  @Override
  public void tanh(int n, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = (float) Math.tanh(x[xo + i]);
    }
  }

  @Override
  public void additiveScores(
      int n,
      int width,
      float[] q,
      int qo,
      float[] kt,
      int kto,
      int ldk,
      float[] w,
      int weightOffset,
      float[] s,
      int so) {
    for (int j = 0; j < n; j++) {
      float score = 0;
      for (int a = 0; a < width; a++) {
        float z = q[qo + a] + kt[kto + a * ldk + j];
        score = Math.fma(w[weightOffset + a], (float) Math.tanh(z), score);
      }
      s[so + j] = score;
    }
  }

  /// exp with the range of the vector kernels: 0 below −87, +∞ above 88.
  private static float exp(float x) {
    if (x < -87) {
      return 0;
    }
    return x > 88 ? Float.POSITIVE_INFINITY : (float) Math.exp(x);
  }

  private static void clear(int n, float[] c, int co, boolean accumulate) {
    if (!accumulate) {
      Arrays.fill(c, co, co + n, 0);
    }
  }
}
