// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.variants.lowrank.Nystromformer.Init;
import dev.crossover.variants.lowrank.Nystromformer.MaskRule;
import dev.crossover.variants.lowrank.Nystromformer.SegmentRule;

/// Nyström attention by full matrices in double precision: padded rows are zeros, hidden entries
/// carry a huge negative score, as in the two published codes.
final class NystromReference {
  private static final double HIDDEN = -1e300;

  private final Nystromformer setting;
  private final AttentionShape s;
  private final Mask mask;
  private final Tensors inputs;
  private final int m;
  private final boolean masked;
  private final boolean exact;

  private NystromReference(Nystromformer setting, AttentionShape s, Mask mask, Tensors inputs) {
    this.setting = setting;
    this.s = s;
    this.mask = mask;
    this.inputs = inputs;
    this.m = setting.landmarks();
    this.masked = setting.maskRule() == MaskRule.MASKED_LANDMARKS;
    this.exact = m == s.querySeqLen() && m == s.keySeqLen();
  }

  static double[] out(Nystromformer setting, AttentionShape s, Mask mask, Tensors inputs) {
    return new NystromReference(setting, s, mask, inputs).out();
  }

  /// K2 or the pseudo-inverse of every head; empty where attention is exact.
  static double[] squares(
      Nystromformer setting, AttentionShape s, Mask mask, Tensors inputs, boolean inverse) {
    NystromReference reference = new NystromReference(setting, s, mask, inputs);
    if (reference.exact) {
      return new double[0];
    }
    double[][][] kernels = reference.kernels();
    double[] all = new double[s.problems() * reference.m * reference.m];
    int at = 0;
    for (double[][] kernel : kernels) {
      double scale = reference.scale(kernels, kernel);
      for (double[] row : inverse ? reference.inverse(kernel, scale) : kernel) {
        System.arraycopy(row, 0, all, at, row.length);
        at += row.length;
      }
    }
    return all;
  }

  private double[][][] kernels() {
    boolean self = s.querySeqLen() == s.keySeqLen();
    double[][][] kernels = new double[s.problems()][][];
    for (int p = 0; p < s.problems(); p++) {
      kernels[p] = softmax(landmarks(queries(p, self)), landmarks(keys(p)), false);
    }
    return kernels;
  }

  private double scale(double[][][] kernels, double[][] own) {
    double largest = largestColumn(own);
    for (double[][] kernel : kernels) {
      boolean shared = setting.init() != Init.EXACT;
      largest = shared ? Math.max(largest, largestColumn(kernel)) : largest;
    }
    return largest;
  }

  /// Rows of one head with zeros where hidden or padded in front, and which of them are real.
  private record Rows(double[][] x, boolean[] real) {}

  private Rows rows(String name, int block, int n, int width, int b, boolean maskRows) {
    int front = 0;
    if (setting.segmentRule() == SegmentRule.FRONT_PADDING && n % m != 0) {
      front = m - n % m;
    }
    Rows rows = new Rows(new double[front + n][width], new boolean[front + n]);
    for (int i = 0; i < n; i++) {
      rows.real[front + i] = !maskRows || mask.isRealKey(b, i);
      for (int c = 0; rows.real[front + i] && c < width; c++) {
        rows.x[front + i][c] = inputs.get(name).data()[block + i * width + c];
      }
    }
    return rows;
  }

  private Rows landmarks(Rows rows) {
    int n = rows.x.length;
    int width = rows.x[0].length;
    Rows means = new Rows(new double[m][width], new boolean[m]);
    int shorter = n / m;
    int start = 0;
    for (int a = 0; a < m; a++) {
      int length = a < (shorter + 1) * m - n ? shorter : shorter + 1;
      double count = 0;
      for (int i = start; i < start + length; i++) {
        count += rows.real[i] ? 1 : 0;
        for (int c = 0; c < width; c++) {
          means.x[a][c] += rows.x[i][c];
        }
      }
      means.real[a] = !masked || count > 0;
      for (int c = 0; c < width; c++) {
        means.x[a][c] /= masked ? count + setting.eps() : length;
      }
      start += length;
    }
    return means;
  }

  /// softmax(a bᵀ / √d), hidden entries by the mask rule; exact attention hides keys only.
  private double[][] softmax(Rows a, Rows b, boolean hideColumns) {
    double[][] p = new double[a.x.length][b.x.length];
    for (int i = 0; i < p.length; i++) {
      double max = Double.NEGATIVE_INFINITY;
      for (int j = 0; j < p[i].length; j++) {
        for (int c = 0; c < s.headDim(); c++) {
          p[i][j] += a.x[i][c] * b.x[j][c] / Math.sqrt(s.headDim());
        }
        boolean hidden = masked && !exact ? !a.real[i] || !b.real[j] : hideColumns && !b.real[j];
        if (hidden) {
          p[i][j] = HIDDEN;
        }
        max = Math.max(max, p[i][j]);
      }
      double sum = 0;
      for (int j = 0; j < p[i].length; j++) {
        p[i][j] = Math.exp(p[i][j] - max);
        sum += p[i][j];
      }
      for (int j = 0; j < p[i].length; j++) {
        p[i][j] /= sum;
      }
    }
    return p;
  }

  private double[] out() {
    double[] out = new double[s.problems() * s.querySeqLen() * s.valueDim()];
    boolean self = s.querySeqLen() == s.keySeqLen();
    double[][][] kernels = kernels();
    for (int p = 0; p < s.problems(); p++) {
      int b = p / s.numHeads();
      if (mask.realKeys(b, s.keySeqLen()) == 0) {
        continue;
      }
      Rows q = queries(p, self);
      Rows v = rows("v", s.valueOffset(b, p % s.numHeads()), s.keySeqLen(), s.valueDim(), b, true);
      double[][] mixed;
      if (exact) {
        mixed = multiply(softmax(q, keys(p), true), v.x);
      } else {
        double scale = scale(kernels, kernels[p]);
        double[][] k3 = softmax(landmarks(q), keys(p), true);
        mixed =
            multiply(
                softmax(q, landmarks(keys(p)), false),
                multiply(inverse(kernels[p], scale), multiply(k3, v.x)));
      }
      for (int i = 0; i < s.querySeqLen(); i++) {
        int front = q.x.length - s.querySeqLen();
        for (int c = 0; c < s.valueDim(); c++) {
          out[(p * s.querySeqLen() + i) * s.valueDim() + c] =
              mixed[front + i][c] + convolved(p, v, i, c);
        }
      }
    }
    return out;
  }

  private Rows queries(int p, boolean self) {
    int b = p / s.numHeads();
    return rows("q", s.queryOffset(b, p % s.numHeads()), s.querySeqLen(), s.headDim(), b, self);
  }

  private Rows keys(int p) {
    int b = p / s.numHeads();
    return rows("k", s.keyOffset(b, p % s.numHeads()), s.keySeqLen(), s.headDim(), b, true);
  }

  private double convolved(int p, Rows v, int t, int c) {
    int taps = setting.convKernelSize().orElse(0);
    int front = v.x.length - s.keySeqLen();
    double sum = 0;
    for (int j = 0; j < taps; j++) {
      int position = t + j - taps / 2;
      if (position >= 0 && position < s.keySeqLen()) {
        double w = inputs.get("conv_weight").data()[p % s.numHeads() * taps + j];
        sum += w * v.x[front + position][c];
      }
    }
    return sum;
  }

  private static double largestColumn(double[][] k) {
    double largest = 0;
    for (int c = 0; c < k.length; c++) {
      double sum = 0;
      for (double[] row : k) {
        sum += row[c];
      }
      largest = Math.max(largest, sum);
    }
    return largest;
  }

  private double[][] inverse(double[][] k, double scale) {
    double[][] z = new double[m][m];
    for (int i = 0; i < m; i++) {
      for (int j = 0; j < m; j++) {
        z[j][i] = k[i][j] / scale;
      }
    }
    for (int t = 0; t < setting.iterations(); t++) {
      double[][] kz = multiply(k, z);
      double[][] inner = minus(15, multiply(kz, minus(7, kz)));
      z = multiply(z, minus(13, multiply(kz, inner)));
      for (double[] row : z) {
        for (int j = 0; j < m; j++) {
          row[j] /= 4;
        }
      }
    }
    return z;
  }

  private static double[][] minus(double factor, double[][] x) {
    double[][] y = new double[x.length][x.length];
    for (int i = 0; i < x.length; i++) {
      for (int j = 0; j < x.length; j++) {
        y[i][j] = (i == j ? factor : 0) - x[i][j];
      }
    }
    return y;
  }

  private static double[][] multiply(double[][] a, double[][] b) {
    double[][] c = new double[a.length][b[0].length];
    for (int i = 0; i < a.length; i++) {
      for (int k = 0; k < b.length; k++) {
        for (int j = 0; j < b[0].length; j++) {
          c[i][j] += a[i][k] * b[k][j];
        }
      }
    }
    return c;
  }
}
