// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import org.jspecify.annotations.Nullable;

/// The online softmax as its formula reads, one pair at a time.
final class ScalarTile implements TileEngine {
  private final int dim;
  private final int valueDim;
  private final float[] query;
  private final float[] numerator;
  private final float[] max;
  private final float[] denominator;
  private int rows;

  ScalarTile(Scratch scratch, int maxRows, int dim, int valueDim) {
    this.dim = dim;
    this.valueDim = valueDim;
    this.query = scratch.floats((long) maxRows * dim);
    this.numerator = scratch.floats((long) maxRows * valueDim);
    this.max = scratch.floats(maxRows);
    this.denominator = scratch.floats(maxRows);
  }

  static long bytes(int maxRows, int dim, int valueDim) {
    return (long) maxRows * (dim + valueDim + 2) * Float.BYTES;
  }

  @Override
  public void begin(
      float[] q, int qo, int ldq, int @Nullable [] index, int from, int newRows, float scale) {
    rows = newRows;
    for (int r = 0; r < rows; r++) {
      int source = qo + (index == null ? r : index[from + r]) * ldq;
      for (int c = 0; c < dim; c++) {
        query[r * dim + c] = q[source + c] * scale;
      }
    }
    Arrays.fill(numerator, 0, rows * valueDim, 0);
    Arrays.fill(max, 0, rows, Float.NEGATIVE_INFINITY);
    Arrays.fill(denominator, 0, rows, 0);
  }

  @Override
  public void attend(
      KeyPanels keys,
      float[] v,
      int vo,
      int ldv,
      int from,
      int to,
      int @Nullable [] low,
      int lo,
      int @Nullable [] high,
      int ho,
      float @Nullable [] bias,
      int bo,
      int ldb) {
    for (int r = 0; r < rows; r++) {
      int begin = low == null ? from : Math.max(from, low[lo + r]);
      int end = high == null ? to : Math.min(to, high[ho + r]);
      for (int j = begin; j < end; j++) {
        float addition = bias == null ? 0 : bias[bo + r * ldb + j - from];
        if (addition != Float.NEGATIVE_INFINITY) {
          pair(r, score(r, keys, j) + addition, v, vo + j * ldv);
        }
      }
    }
  }

  private float score(int r, KeyPanels keys, int j) {
    float score = 0;
    for (int c = 0; c < dim; c++) {
      score = Math.fma(query[r * dim + c], keys.data[j * dim + c], score);
    }
    return score;
  }

  private void pair(int r, float score, float[] v, int vo) {
    if (score > max[r]) {
      float rescale = (float) Math.exp(max[r] - score);
      max[r] = score;
      denominator[r] *= rescale;
      for (int c = 0; c < valueDim; c++) {
        numerator[r * valueDim + c] *= rescale;
      }
    }
    float p = score == Float.NEGATIVE_INFINITY ? 0 : (float) Math.exp(score - max[r]);
    denominator[r] += p;
    for (int c = 0; c < valueDim; c++) {
      numerator[r * valueDim + c] = Math.fma(p, v[vo + c], numerator[r * valueDim + c]);
    }
  }

  @Override
  public void suspend(
      float[] x,
      int xo,
      int ldx,
      int @Nullable [] index,
      int from,
      float[] marks,
      int mo,
      int ldm) {
    for (int r = 0; r < rows; r++) {
      int row = index == null ? r : index[from + r];
      System.arraycopy(numerator, r * valueDim, x, xo + row * ldx, valueDim);
      marks[mo + row * ldm] = denominator[r];
      marks[mo + row * ldm + 1] = (float) (max[r] / Math.log(2));
    }
  }

  @Override
  public void resume(
      float[] x,
      int xo,
      int ldx,
      int @Nullable [] index,
      int from,
      float[] marks,
      int mo,
      int ldm) {
    for (int r = 0; r < rows; r++) {
      int row = index == null ? r : index[from + r];
      System.arraycopy(x, xo + row * ldx, numerator, r * valueDim, valueDim);
      denominator[r] = marks[mo + row * ldm];
      max[r] = (float) (marks[mo + row * ldm + 1] * Math.log(2));
    }
  }

  @Override
  public void finish(float[] out, int oo, int ldo) {
    for (int r = 0; r < rows; r++) {
      float inverse = denominator[r] == 0 ? 0 : 1 / denominator[r];
      for (int c = 0; c < valueDim; c++) {
        out[oo + r * ldo + c] = numerator[r * valueDim + c] * inverse;
      }
    }
  }

  @Override
  public void logSumExp(float[] lse, int lo, int ldl) {
    for (int r = 0; r < rows; r++) {
      lse[lo + r * ldl] =
          denominator[r] == 0 ? Float.NEGATIVE_INFINITY : max[r] + (float) Math.log(denominator[r]);
    }
  }
}
