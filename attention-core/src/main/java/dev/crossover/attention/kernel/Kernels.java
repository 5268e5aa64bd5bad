// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// Row-major matrix products and elementwise work over flat `float[]` with offsets.
///
/// Two implementations: [ScalarKernels] reads like the formulas, the vector one is fast; which runs
/// is decided once, in [KernelSelection]. Callers are trusted: sizes are at least 0, ranges lie
/// inside the arrays, outputs overlap no input unless a method says so. Nothing is allocated.
/// Results depend only on the arguments, never on threads.
///
/// In products, `lda` is the distance between the starts of two rows of A, and so on; when
/// `accumulate` is false C is overwritten and never read.
public interface Kernels {

  /// The implementation in use on this JVM.
  static Kernels get() {
    return KernelSelection.KERNELS;
  }

  /// Name, width and reason for the choice, for records and the log.
  String description();

  /// Floats per vector; 1 for scalar kernels.
  int lanes();

  /// `C[m,n] (+)= A[m,k] · B[k,n]`.
  void multiply(
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
      boolean accumulate);

  /// `C[m,n] (+)= Aᵀ · B[k,n]`, where A is stored `[k,m]`.
  void multiplyTransposedA(
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
      boolean accumulate);

  /// `C[m,n] (+)= A[m,k] · Bᵀ`, where B is stored `[n,k]`.
  ///
  /// @param work scratch of at least `transposedBScratch(n, k)` floats from `wo`
  void multiplyTransposedB(
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
      int wo);

  /// Floats of scratch that [#multiplyTransposedB] needs.
  int transposedBScratch(int n, int k);

  /// `C[i,:] (+)= Σ_{j <= min(k-1, i+offset)} A[i,j] · B[j,:]` for i in 0..m-1: a product with a
  /// matrix that is zero above a diagonal. Elements of A above it are never used, and row j of B
  /// never influences a row i that does not use it, not even when it holds NaN.
  void multiplyLower(
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
      boolean accumulate);

  /// `C[i,j] = Σ A[i,:]·B[j,:]` for j <= i, where B is stored `[n,k]`: the lower triangle of a
  /// product with Bᵀ. Elements above it are left with anything.
  ///
  /// @param stacked number of such products with the same B: rows of A and C lie `m` after `m`
  /// @param work scratch of at least `transposedBScratch(n, k)` floats from `wo`
  void multiplyTransposedBLower(
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
      int wo);

  /// `C[i,:] += Σ_{j < i} A[i,j] · C[j,:]` for i in 0..m-1, in order: solves `(I − A) X = C` in
  /// place for A strictly lower triangular. Elements of A on or above the diagonal are never used.
  void substituteForward(int m, int n, float[] a, int ao, int lda, float[] c, int co, int ldc);

  /// `C[j,:] (+)= Σ_{i >= j} A[i,j] · B[i,:]` for j in 0..m-1: a product with the transpose of a
  /// lower triangular matrix A `[m,m]`. Elements of A above the diagonal are never used, and row i
  /// of B never influences a row j > i, not even when it holds NaN.
  void multiplyTransposedLower(
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
      boolean accumulate);

  /// `C[j,:] += Σ_{i > j} A[i,j] · C[i,:]` for j from m-1 down to 0: solves `(I − Aᵀ) X = C` in
  /// place for A strictly lower triangular. Elements of A on or above the diagonal are never used.
  void substituteBackward(int m, int n, float[] a, int ao, int lda, float[] c, int co, int ldc);

  /// `Σ x[i]·y[i]`.
  float dot(int n, float[] x, int xo, float[] y, int yo);

  /// `y[i] = Σ_c A[i,c]·x[c]` for m rows of n.
  void dotRows(int m, int n, float[] a, int ao, int lda, float[] x, int xo, float[] y, int yo);

  /// `Σ x[i]`.
  float sum(int n, float[] x, int xo);

  /// Reads ahead what is about to be used: one element of every cache line, in four streams,
  /// because nothing else is then in the way of many requests at once. Passes that compute while
  /// they read wait for memory a second time (one thread, 16 KiB before each product of linear
  /// attention: 11.3 → 10.0 ms of the whole at n = 8192).
  ///
  /// @return a number without a meaning, to be kept so that the reads are
  default float readAhead(int n, float[] x, int xo) {
    int quarter = n >> 2;
    float s0 = 0;
    float s1 = 0;
    float s2 = 0;
    float s3 = 0;
    for (int i = xo; i < xo + quarter; i += 16) {
      s0 += x[i];
      s1 += x[i + quarter];
      s2 += x[i + 2 * quarter];
      s3 += x[i + 3 * quarter];
    }
    return s0 + s1 + s2 + s3;
  }

  /// Largest of `x[0..n)`; −∞ when n = 0.
  float max(int n, float[] x, int xo);

  /// Largest `|x[i]|`, NaN if there is one; 0 when n = 0.
  float largestMagnitude(int n, float[] x, int xo);

  /// `y[i] += alpha · x[i]`.
  void axpy(int n, float alpha, float[] x, int xo, float[] y, int yo);

  /// `x[i] = (a·x[i] + b)·x[i] + c`.
  void quadratic(int n, float a, float b, float c, float[] x, int xo);

  /// `x[i] = (alpha · x[i])^exponent`, by multiplications alone.
  ///
  /// @param exponent at least 1
  default void power(int n, float alpha, int exponent, float[] x, int xo) {
    if (exponent == 1) {
      scale(n, alpha, x, xo, x, xo);
    } else if (exponent % 2 == 0) {
      quadratic(n, alpha * alpha, 0, 0, x, xo);
      if (exponent > 2) {
        power(n, 1, exponent / 2, x, xo);
      }
    } else {
      for (int i = xo; i < xo + n; i++) {
        float y = alpha * x[i];
        float square = y * y;
        for (int e = 1; e < exponent; e += 2) {
          y *= square;
        }
        x[i] = y;
      }
    }
  }

  /// The products `x_i x_j` for i <= j, row after row of the upper triangle: those on the diagonal
  /// times `diagonal`, the others times `alpha`. Up to `lanes() - 1` elements of y after the
  /// `d(d + 1)/2` written ones may be overwritten.
  void upperProducts(int d, float alpha, float diagonal, float[] x, int xo, float[] y, int yo);

  /// `y[i] = alpha · x[i]`; x and y may be the same range.
  void scale(int n, float alpha, float[] x, int xo, float[] y, int yo);

  /// `y[r,i] = factor[r] · x[r,i]` for rows of n; x and y may be the same range.
  void scaleRows(
      int rows,
      int n,
      float[] factor,
      int fo,
      float[] x,
      int xo,
      int ldx,
      float[] y,
      int yo,
      int ldy);

  /// `z[i] = x[i] + y[i]`; z may be x or y.
  void add(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo);

  /// `y[i] = minuend − x[i]`, rounded once: differences of sums that are too large for float32.
  default void differences(int n, double minuend, double[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = (float) (minuend - x[xo + i]);
    }
  }

  /// `z[i] = x[i] · y[i]`; z may be x or y.
  void multiplyElements(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo);

  /// `y[i] = exp(scale · x[i] + shift)`, returns the sum; x and y may be the same range.
  ///
  /// Relative error below 3e-7; arguments below −87 give 0, −∞ gives exactly 0, arguments above 88
  /// give +∞.
  float exp(int n, float scale, float shift, float[] x, int xo, float[] y, int yo);

  /// Softmax of one row in place; −∞ entries get exactly 0, and a row of only −∞ becomes zeros.
  void softmax(int n, float[] x, int xo);

  /// `y[r] = softmax(scale · x[r])` for rows of n, with the limits of [#softmax]; x and y may be
  /// the same range.
  ///
  /// @param work scratch of `rows` floats from `wo`
  void softmaxRows(
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
      int wo);

  /// `y[c] = max(y[c], x[r,c] over r)` for rows of n; a NaN in x is passed over.
  void maximaOfColumns(int rows, int n, float[] x, int xo, int ldx, float[] y, int yo);

  /// `y[r,c] = exp(x[r,c] − minus[c])` for rows of n, one after the other, and `sums[c] += Σ_r
  /// y[r,c]`, with the limits of [#exp].
  void expOfColumns(
      int rows,
      int n,
      float[] minus,
      int mo,
      float[] x,
      int xo,
      float[] y,
      int yo,
      float[] sums,
      int so);

  /// `y[i] = elu(x[i]) + 1`: x + 1 for x > 0, exp(x) otherwise; x and y may be the same range.
  void eluPlusOne(int n, float[] x, int xo, float[] y, int yo);

  /// `y[i] = log2(1 + 2^x[i])`, relative error below 1e-6 for x >= −10 and 1e-7·|x| below, where
  /// the exponent is rounded; 0 below x = −125. x and y may not overlap.
  ///
  /// As max(x, 0) + log2(1 + e) with e = 2^−|x|, where log2(1 + e) = e · Q(e) and Q is a Chebyshev
  /// fit of degree 8 on [0, 1], relative error 3.5e-8.
  default void softplus2(int n, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] = -Math.abs(x[xo + i]);
    }
    exp(n, 0.6931472f, 0, y, yo, y, yo);
    for (int i = 0; i < n; i++) {
      float e = y[yo + i];
      float q = 0.0073954021f * e - 0.0419450104f;
      q = q * e + 0.1118320748f;
      q = q * e - 0.1962389499f;
      q = q * e + 0.2752211988f;
      q = q * e - 0.3582990766f;
      q = q * e + 0.4806788862f;
      q = q * e - 0.7213395238f;
      q = q * e + 1.4426950216f;
      y[yo + i] = Math.max(x[xo + i], 0) + e * q;
    }
  }

  /// `y[i] = max(x[i], 0) + shift`; x and y may be the same range.
  void relu(int n, float shift, float[] x, int xo, float[] y, int yo);

  /// `y[i] = 0` where not `x[i] > bound`; y is left as it is elsewhere: the derivative of a
  /// maximum.
  void keepAbove(int n, float bound, float[] x, int xo, float[] y, int yo);

  /// `y[c,r] = x[r,c]` for `rows` rows of `columns`, whose starts lie `ldx` and `ldy` apart.
  void transpose(int rows, int columns, float[] x, int xo, int ldx, float[] y, int yo, int ldy);

  /// `s[i] = sin x[i]`, `c[i] = cos x[i]`, absolute error below 2e-7 for |x| up to 1e4.
  void sinCos(int n, float[] x, int xo, float[] s, int so, float[] c, int co);

  /// `y[i] = tanh x[i]`, absolute error below 2e-7; x and y may be the same range.
  void tanh(int n, float[] x, int xo, float[] y, int yo);

  /// `s[j] = Σ_{a<width} w[a] · tanh(q[a] + kt[a·ldk + j])` for j in 0..n-1: one row of additive
  /// scores, keys transposed.
  void additiveScores(
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
      int so);
}
