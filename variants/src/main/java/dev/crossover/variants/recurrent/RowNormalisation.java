// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;
import dev.crossover.attention.Workers;
import dev.crossover.attention.kernel.Kernels;
import java.util.Arrays;

/// Row normalisation of retention as in the authors' code, applied to finished rows `o_i = Σ_j A_ij
/// D_ij v_j` with A = scale q kᵀ and D_ij = γ^(i−j):
///
/// ```
/// s_i = √Σ_j D_ij
/// o_i ← o_i / (s_i · clamp(Σ_j |A_ij| D_ij / s_i, 1, 5e4))
/// o_i ← o_i / √(mean(o_i²) + eps)
/// ```
///
/// The absolute sums take every pair of a query and an earlier key; they are formed block by block,
/// so that no row of weights is stored. Parallel over blocks of queries.
final class RowNormalisation {
  private static final int BLOCK = 64;
  private static final double LEAST = 1;
  private static final double MOST = 5e4;

  private final Kernels kernels = Kernels.get();
  private final AttentionShape shape;
  private final Mask mask;
  private final RetNet.Rule rule;
  private final double eps;
  private final Workers workers;
  private final Workers.Task block = this::block;
  private final float[][] queries;
  private final float[][] keys;
  private final float[][] products;
  private final float[][] transposed;
  private final double[][] sums;
  private float[] q = new float[0];
  private float[] k = new float[0];
  private float[] out = new float[0];
  private float[] factors = new float[0];
  private float[] rests = new float[0];

  RowNormalisation(
      AttentionShape shape,
      Mask mask,
      RetNet.Rule rule,
      double eps,
      Workers workers,
      Scratch scratch) {
    this.shape = shape;
    this.mask = mask;
    this.rule = rule;
    this.eps = eps;
    this.workers = workers;
    int threads = workers.threads();
    queries = new float[threads][];
    keys = new float[threads][];
    products = new float[threads][];
    transposed = new float[threads][];
    sums = new double[threads][];
    for (int w = 0; w < threads; w++) {
      queries[w] = scratch.floats((long) BLOCK * shape.headDim());
      keys[w] = scratch.floats((long) BLOCK * shape.headDim());
      products[w] = scratch.floats(BLOCK * BLOCK);
      transposed[w] = scratch.floats(kernels.transposedBScratch(BLOCK, shape.headDim()));
      sums[w] = scratch.doubles(BLOCK);
    }
  }

  /// Bytes the constructor allocates per thread.
  static long bytes(AttentionShape s) {
    long floats = 2L * BLOCK * s.headDim() + BLOCK * BLOCK;
    floats += Kernels.get().transposedBScratch(BLOCK, s.headDim());
    return floats * Float.BYTES + BLOCK * Double.BYTES;
  }

  /// Operations: products and weighted absolute sums of all blocks up to the diagonal, and three
  /// per output element.
  static double flops(AttentionShape s) {
    double blocks = Math.ceilDiv(s.querySeqLen(), BLOCK);
    double pairs = blocks * (blocks + 1) / 2 * BLOCK * BLOCK;
    return s.problems() * (pairs * (2.0 * s.headDim() + 2) + 4.0 * s.querySeqLen() * s.valueDim());
  }

  /// Normalises the rows of `output` in place.
  ///
  /// @param rowFactors where to keep what each row was multiplied by, unless it is empty
  /// @param rowRests where to keep the share of eps in each row's mean square, as well
  void apply(float[] query, float[] key, float[] output, float[] rowFactors, float[] rowRests) {
    factors = rowFactors;
    rests = rowRests;
    q = query;
    k = key;
    out = output;
    workers.run(shape.problems() * Math.ceilDiv(shape.querySeqLen(), BLOCK), block);
  }

  private void block(int worker, int index) {
    int n = shape.querySeqLen();
    int blocks = Math.ceilDiv(n, BLOCK);
    int problem = index / blocks;
    int from = (blocks - 1 - index % blocks) * BLOCK;
    int count = Math.min(BLOCK, n - from);
    double[] sum = sums[worker];
    Arrays.fill(sum, 0);
    int dim = shape.headDim();
    int head = problem % shape.numHeads();
    kernels.scale(
        count * dim, (float) rule.scale(), q, (problem * n + from) * dim, queries[worker], 0);
    if (rule.transforms()) {
      rule.transform(queries[worker], 0, from, count);
    }
    for (int t = 0; t <= from; t += BLOCK) {
      addKeys(worker, problem, from, count, t, Math.min(BLOCK, n - t), sum);
    }
    double gamma = rule.gamma(head);
    for (int i = 0; i < count; i++) {
      double decays = gamma == 1 ? from + i + 1 : (1 - Math.pow(gamma, from + i + 1)) / (1 - gamma);
      double root = Math.sqrt(decays);
      double divisor = root * Math.clamp(sum[i] / root, LEAST, MOST);
      normalise(problem * n + from + i, 1 / divisor);
    }
  }

  /// Adds Σ_j |A_ij| γ^(i−j) over the keys t to t + keyCount − 1 that row i may see.
  private void addKeys(
      int worker, int problem, int from, int count, int t, int keyCount, double[] sum) {
    int dim = shape.headDim();
    int batch = problem / shape.numHeads();
    double gamma = rule.gamma(problem % shape.numHeads());
    float[] key = keys[worker];
    for (int j = 0; j < keyCount; j++) {
      if (mask.isRealKey(batch, t + j)) {
        int at = (problem * shape.querySeqLen() + t + j) * dim;
        System.arraycopy(k, at, key, j * dim, dim);
      } else {
        Arrays.fill(key, j * dim, (j + 1) * dim, 0);
      }
    }
    if (rule.transforms()) {
      rule.transform(key, 0, t, keyCount);
    }
    float[] a = products[worker];
    kernels.multiplyTransposedB(
        count,
        keyCount,
        dim,
        queries[worker],
        0,
        dim,
        key,
        0,
        dim,
        a,
        0,
        BLOCK,
        false,
        transposed[worker],
        0);
    for (int i = 0; i < count; i++) {
      int visible = Math.min(keyCount, from + i - t + 1);
      double weighted = 0;
      for (int j = 0; j < visible; j++) {
        weighted = weighted * gamma + Math.abs(a[i * BLOCK + j]);
      }
      sum[i] += weighted * Math.pow(gamma, from + i - t - visible + 1);
    }
  }

  private void normalise(int row, double factor) {
    int width = shape.valueDim();
    int at = row * width;
    double square = 0;
    for (int c = at; c < at + width; c++) {
      double x = out[c] * factor;
      square += x * x;
    }
    double meanSquare = square / width + eps;
    float whole = (float) (factor / Math.sqrt(meanSquare));
    kernels.scale(width, whole, out, at, out, at);
    if (factors.length > 0) {
      factors[row] = whole;
      rests[row] = (float) (eps / meanSquare);
    }
  }

  /// Takes gradients of normalised rows back, with the absolute sums as constants: `f (G − o ⟨o, G⟩
  /// / dv)`.
  ///
  /// A factor f of a row has the gradient `⟨o, G⟩ eps / (f · mean square)`: what the root mean
  /// square does not take out again.
  ///
  /// @return the gradient with respect to γ through the factors 1/√ΣD_i, if it is wanted
  double back(
      int row, int count, float[] output, float[] gradOut, float[] grad, boolean wantsDecay) {
    int width = shape.valueDim();
    int n = shape.querySeqLen();
    double sum = 0;
    for (int i = row; i < row + count; i++) {
      int at = i * width;
      float product = kernels.dot(width, output, at, gradOut, at);
      kernels.scale(width, factors[i], gradOut, at, grad, at);
      kernels.axpy(width, -factors[i] * product / width, output, at, grad, at);
      if (wantsDecay) {
        double gamma = rule.gamma(i / n % shape.numHeads());
        sum -= 0.5 * product * rests[i] * logSlope(gamma, i % n + 1);
      }
    }
    return sum;
  }

  /// d log(1 + γ + … + γ^(terms − 1)) / dγ.
  private static double logSlope(double gamma, int terms) {
    if (gamma == 1) {
      return (terms - 1) / 2.0;
    }
    double power = Math.pow(gamma, terms - 1);
    return 1 / (1 - gamma) - terms * power / (1 - power * gamma);
  }
}
