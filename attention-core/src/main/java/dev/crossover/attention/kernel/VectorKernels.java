package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.L;

import java.util.Arrays;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// Kernels on the Vector API.
///
/// Products, in pseudo-code:
///
/// ```
/// for each panel of V vectors of columns of B        V = 4 with 32 registers, 2 with 16
///   for each stretch of k that keeps the panel in L1
///     for each 4 rows of A: 4 × V accumulators in registers over the stretch
/// ```
///
/// Departures: 1. the last panel is narrower and its last vector masked, so that no scalar loop remains;
/// 2. blocks of 4 rows, not 12: rows of A lie `lda` apart and each needs an address register; 3. Aᵀ is
/// read as it lies, its four elements are neighbours; 4. for Bᵀ panels are transposed into `work` first,
/// unless A has so few rows that dot products are cheaper.
final class VectorKernels implements Kernels {
  private static final int ROWS = 4;
  private static final int VECTORS = Lanes.MANY_REGISTERS ? 4 : 2;
  private static final int WIDTH = VECTORS * L;

  /// Rows of a panel of B that fit half of a 32 KiB first-level cache together.
  private static final int STRETCH = 8192 / WIDTH;

  /// Rows of A up to which a product with Bᵀ runs as dot products.
  private static final int FEW_ROWS = 2;

  @Override
  public String description() {
    return "vector, "
        + FLOATS.vectorBitSize()
        + " bits, fused blocks of "
        + Lanes.ROWS
        + " x 2 vectors, products in blocks of "
        + ROWS
        + " x "
        + VECTORS;
  }

  @Override
  public int lanes() {
    return L;
  }

  @Override
  public void multiply(
      int m, int n, int k,
      float[] a, int ao, int lda,
      float[] b, int bo, int ldb,
      float[] c, int co, int ldc,
      boolean accumulate) {
    if (n == 1 && ldb == 1) {
      for (int i = 0; i < m; i++) {
        float product = dot(k, a, ao + i * lda, b, bo);
        c[co + i * ldc] = accumulate ? c[co + i * ldc] + product : product;
      }
      return;
    }
    for (int j = 0; j < n; j += WIDTH) {
      panelProduct(
          m, Math.min(WIDTH, n - j), k, a, ao, lda, b, bo + j, ldb, c, co + j, ldc, accumulate);
    }
  }

  /// `C[m,width] (+)= A · B` for one panel.
  private static void panelProduct(
      int m, int width, int k,
      float[] a, int ao, int lda,
      float[] b, int bo, int ldb,
      float[] c, int co, int ldc,
      boolean accumulate) {
    int vectors = (width + L - 1) / L;
    int tail = width - (vectors - 1) * L;
    int l = 0;
    do {
      int stretch = Math.min(STRETCH, k - l);
      for (int i = 0; i < m; i += ROWS) {
        BlockProducts.byRows(
            Math.min(ROWS, m - i), vectors, tail, stretch,
            a, ao + i * lda + l, lda,
            b, bo + l * ldb, ldb,
            c, co + i * ldc, ldc,
            accumulate || l > 0);
      }
      l += stretch;
    } while (l < k);
  }

  @Override
  public void multiplyTransposedA(
      int m, int n, int k,
      float[] a, int ao, int lda,
      float[] b, int bo, int ldb,
      float[] c, int co, int ldc,
      boolean accumulate) {
    for (int j = 0; j < n; j += WIDTH) {
      int width = Math.min(WIDTH, n - j);
      int vectors = (width + L - 1) / L;
      int tail = width - (vectors - 1) * L;
      int l = 0;
      do {
        int stretch = Math.min(STRETCH, k - l);
        for (int i = 0; i < m; i += ROWS) {
          BlockProducts.byColumns(
              Math.min(ROWS, m - i), vectors, tail, stretch,
              a, ao + l * lda + i, lda,
              b, bo + l * ldb + j, ldb,
              c, co + i * ldc + j, ldc,
              accumulate || l > 0);
        }
        l += stretch;
      } while (l < k);
    }
  }

  @Override
  public void multiplyTransposedB(
      int m, int n, int k,
      float[] a, int ao, int lda,
      float[] b, int bo, int ldb,
      float[] c, int co, int ldc,
      boolean accumulate,
      float[] work, int wo) {
    if (m <= FEW_ROWS) {
      for (int i = 0; i < m; i++) {
        for (int j = 0; j < n; j++) {
          float product = dot(k, a, ao + i * lda, b, bo + j * ldb);
          c[co + i * ldc + j] = accumulate ? c[co + i * ldc + j] + product : product;
        }
      }
      return;
    }
    for (int j = 0; j < n; j += WIDTH) {
      int width = Math.min(WIDTH, n - j);
      Packing.transpose(b, bo + j * ldb, ldb, width, k, 1, work, wo, WIDTH, WIDTH);
      panelProduct(m, width, k, a, ao, lda, work, wo, WIDTH, c, co + j, ldc, accumulate);
    }
  }

  @Override
  public int transposedBScratch(int n, int k) {
    return WIDTH * k;
  }

  @Override
  public void multiplyLower(
      int m, int n, int k, int offset,
      float[] a, int ao, int lda,
      float[] b, int bo, int ldb,
      float[] c, int co, int ldc,
      boolean accumulate) {
    for (int j = 0; j < n; j += WIDTH) {
      int width = Math.min(WIDTH, n - j);
      int vectors = (width + L - 1) / L;
      int tail = width - (vectors - 1) * L;
      for (int i = 0; i < m; i += ROWS) {
        int rows = Math.min(ROWS, m - i);
        int shared = limit(i, offset, k);
        BlockProducts.byRows(
            rows, vectors, tail, shared,
            a, ao + i * lda, lda, b, bo + j, ldb, c, co + i * ldc + j, ldc, accumulate);
        for (int r = 1; r < rows; r++) {
          int own = limit(i + r, offset, k) - shared;
          if (own > 0) {
            BlockProducts.byRows(
                1, vectors, tail, own,
                a, ao + (i + r) * lda + shared, lda,
                b, bo + shared * ldb + j, ldb,
                c, co + (i + r) * ldc + j, ldc,
                true);
          }
        }
      }
    }
  }

  /// Number of leading elements of row i on or below the diagonal.
  private static int limit(int i, int offset, int k) {
    return Math.clamp((long) i + offset + 1, 0, k);
  }

  @Override
  public float dot(int n, float[] x, int xo, float[] y, int yo) {
    FloatVector s0 = FloatVector.zero(FLOATS);
    FloatVector s1 = s0;
    FloatVector s2 = s0;
    FloatVector s3 = s0;
    int i = 0;
    for (; i <= n - 4 * L; i += 4 * L) {
      s0 = at(x, xo + i).fma(at(y, yo + i), s0);
      s1 = at(x, xo + i + L).fma(at(y, yo + i + L), s1);
      s2 = at(x, xo + i + 2 * L).fma(at(y, yo + i + 2 * L), s2);
      s3 = at(x, xo + i + 3 * L).fma(at(y, yo + i + 3 * L), s3);
    }
    for (; i <= n - L; i += L) {
      s0 = at(x, xo + i).fma(at(y, yo + i), s0);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      s1 = at(x, xo + i, mask).fma(at(y, yo + i, mask), s1);
    }
    return s0.add(s1).add(s2.add(s3)).reduceLanes(VectorOperators.ADD);
  }

  @Override
  public float sum(int n, float[] x, int xo) {
    FloatVector s0 = FloatVector.zero(FLOATS);
    FloatVector s1 = s0;
    int i = 0;
    for (; i <= n - 2 * L; i += 2 * L) {
      s0 = s0.add(at(x, xo + i));
      s1 = s1.add(at(x, xo + i + L));
    }
    for (; i <= n - L; i += L) {
      s0 = s0.add(at(x, xo + i));
    }
    if (i < n) {
      s1 = s1.add(at(x, xo + i, FLOATS.indexInRange(i, n)));
    }
    return s0.add(s1).reduceLanes(VectorOperators.ADD);
  }

  @Override
  public float max(int n, float[] x, int xo) {
    FloatVector lowest = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
    FloatVector best = lowest;
    VectorMask<Float> unordered = FLOATS.maskAll(false);
    int i = 0;
    for (; i <= n - L; i += L) {
      FloatVector value = at(x, xo + i);
      best = best.blend(value, value.compare(VectorOperators.GT, best));
      unordered = unordered.or(value.compare(VectorOperators.NE, value));
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      FloatVector value = lowest.blend(at(x, xo + i, mask), mask);
      best = best.blend(value, value.compare(VectorOperators.GT, best));
      unordered = unordered.or(value.compare(VectorOperators.NE, value));
    }
    return unordered.anyTrue() ? Float.NaN : best.reduceLanes(VectorOperators.MAX);
  }

  @Override
  public void axpy(int n, float alpha, float[] x, int xo, float[] y, int yo) {
    FloatVector factor = FloatVector.broadcast(FLOATS, alpha);
    int i = 0;
    for (; i <= n - L; i += L) {
      factor.fma(at(x, xo + i), at(y, yo + i)).intoArray(y, yo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      factor.fma(at(x, xo + i, mask), at(y, yo + i, mask)).intoArray(y, yo + i, mask);
    }
  }

  @Override
  public void scale(int n, float alpha, float[] x, int xo, float[] y, int yo) {
    int i = 0;
    for (; i <= n - L; i += L) {
      at(x, xo + i).mul(alpha).intoArray(y, yo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      at(x, xo + i, mask).mul(alpha).intoArray(y, yo + i, mask);
    }
  }

  @Override
  public void add(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo) {
    int i = 0;
    for (; i <= n - L; i += L) {
      at(x, xo + i).add(at(y, yo + i)).intoArray(z, zo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      at(x, xo + i, mask).add(at(y, yo + i, mask)).intoArray(z, zo + i, mask);
    }
  }

  @Override
  public void multiplyElements(int n, float[] x, int xo, float[] y, int yo, float[] z, int zo) {
    int i = 0;
    for (; i <= n - L; i += L) {
      at(x, xo + i).mul(at(y, yo + i)).intoArray(z, zo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      at(x, xo + i, mask).mul(at(y, yo + i, mask)).intoArray(z, zo + i, mask);
    }
  }

  @Override
  public float exp(int n, float scale, float shift, float[] x, int xo, float[] y, int yo) {
    FloatVector factor = FloatVector.broadcast(FLOATS, scale);
    FloatVector addend = FloatVector.broadcast(FLOATS, shift);
    FloatVector s0 = FloatVector.zero(FLOATS);
    FloatVector s1 = s0;
    int i = 0;
    for (; i <= n - 2 * L; i += 2 * L) {
      FloatVector e0 = VectorMath.exp(at(x, xo + i).fma(factor, addend));
      FloatVector e1 = VectorMath.exp(at(x, xo + i + L).fma(factor, addend));
      e0.intoArray(y, yo + i);
      e1.intoArray(y, yo + i + L);
      s0 = s0.add(e0);
      s1 = s1.add(e1);
    }
    for (; i < n; i += L) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      FloatVector e = VectorMath.exp(at(x, xo + i, mask).fma(factor, addend));
      e.intoArray(y, yo + i, mask);
      s0 = s0.add(e, mask);
    }
    return s0.add(s1).reduceLanes(VectorOperators.ADD);
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
  public void eluPlusOne(int n, float[] x, int xo, float[] y, int yo) {
    int i = 0;
    for (; i <= n - L; i += L) {
      eluPlusOne(at(x, xo + i)).intoArray(y, yo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      eluPlusOne(at(x, xo + i, mask)).intoArray(y, yo + i, mask);
    }
  }

  private static FloatVector eluPlusOne(FloatVector x) {
    return VectorMath.exp(x).blend(x.add(1f), x.compare(VectorOperators.GT, 0f));
  }

  @Override
  public void relu(int n, float shift, float[] x, int xo, float[] y, int yo) {
    FloatVector zero = FloatVector.zero(FLOATS);
    int i = 0;
    for (; i <= n - L; i += L) {
      FloatVector value = at(x, xo + i);
      value.blend(zero, value.compare(VectorOperators.LT, zero)).add(shift).intoArray(y, yo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      FloatVector value = at(x, xo + i, mask);
      value
          .blend(zero, value.compare(VectorOperators.LT, zero))
          .add(shift)
          .intoArray(y, yo + i, mask);
    }
  }

  @Override
  public void sinCos(int n, float[] x, int xo, float[] s, int so, float[] c, int co) {
    for (int i = 0; i < n; i += L) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      FloatVector angle = at(x, xo + i, mask);
      if (angle.abs().compare(VectorOperators.GT, LARGE_ANGLE).anyTrue()) {
        sinCosOfLarge(Math.min(L, n - i), x, xo + i, s, so + i, c, co + i);
        continue;
      }
      FloatVector quadrant = VectorMath.quadrant(angle);
      FloatVector r = VectorMath.withinQuadrant(angle, quadrant);
      IntVector turn = quadrant.reinterpretAsInts();
      FloatVector sine = VectorMath.sineOfTurn(r, turn);
      FloatVector cosine = VectorMath.sineOfTurn(r, turn.add(1));
      sine.intoArray(s, so + i, mask);
      cosine.intoArray(c, co + i, mask);
    }
  }

  /// Angles beyond which the two-part reduction would lose accuracy.
  private static final float LARGE_ANGLE = 12_000f;

  private static void sinCosOfLarge(
      int n, float[] x, int xo, float[] s, int so, float[] c, int co) {
    for (int i = 0; i < n; i++) {
      double angle = x[xo + i];
      s[so + i] = (float) Math.sin(angle);
      c[co + i] = (float) Math.cos(angle);
    }
  }

  @Override
  public void tanh(int n, float[] x, int xo, float[] y, int yo) {
    int i = 0;
    for (; i <= n - L; i += L) {
      VectorMath.tanh(at(x, xo + i)).intoArray(y, yo + i);
    }
    if (i < n) {
      VectorMask<Float> mask = FLOATS.indexInRange(i, n);
      VectorMath.tanh(at(x, xo + i, mask)).intoArray(y, yo + i, mask);
    }
  }

  @Override
  public void additiveScores(
      int n, int width,
      float[] q, int qo,
      float[] kt, int kto, int ldk,
      float[] w, int weightOffset,
      float[] s, int so) {
    int j = 0;
    for (; j <= n - 2 * L; j += 2 * L) {
      FloatVector s0 = FloatVector.zero(FLOATS);
      FloatVector s1 = s0;
      for (int a = 0; a < width; a++) {
        int row = kto + a * ldk + j;
        FloatVector weight = FloatVector.broadcast(FLOATS, w[weightOffset + a]);
        FloatVector query = FloatVector.broadcast(FLOATS, q[qo + a]);
        s0 = VectorMath.tanh(at(kt, row).add(query)).fma(weight, s0);
        s1 = VectorMath.tanh(at(kt, row + L).add(query)).fma(weight, s1);
      }
      s0.intoArray(s, so + j);
      s1.intoArray(s, so + j + L);
    }
    for (; j < n; j += L) {
      VectorMask<Float> mask = FLOATS.indexInRange(j, n);
      FloatVector score = FloatVector.zero(FLOATS);
      for (int a = 0; a < width; a++) {
        FloatVector key = at(kt, kto + a * ldk + j, mask);
        score = VectorMath.tanh(key.add(q[qo + a])).fma(
            FloatVector.broadcast(FLOATS, w[weightOffset + a]), score);
      }
      score.intoArray(s, so + j, mask);
    }
  }

  private static FloatVector at(float[] x, int offset) {
    return FloatVector.fromArray(FLOATS, x, offset);
  }

  private static FloatVector at(float[] x, int offset, VectorMask<Float> mask) {
    return FloatVector.fromArray(FLOATS, x, offset, mask);
  }
}
