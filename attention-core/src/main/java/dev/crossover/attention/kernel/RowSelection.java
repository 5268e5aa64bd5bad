// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import java.util.Arrays;

/// What choosing among the scores of a row needs: maxima of many small groups in one pass, and the
/// weighted sum of a few chosen rows.
public final class RowSelection {
  /// Number of groups that [#maxima] fills: element i belongs to group i modulo this.
  public static final int GROUPS = 16;

  private RowSelection() {}

  /// `y[g] = max(y[g], x[i])` for all i < n with i mod [#GROUPS] = g; NaN counts as smallest.
  ///
  /// @param y one maximum per group, from `yo`
  public static void maxima(int n, float[] x, int xo, float[] y, int yo) {
    int whole = n / GROUPS * GROUPS;
    if (KernelSelection.VECTOR) {
      RowPasses.maxima(whole, x, xo, y, yo);
    } else {
      larger(0, whole, x, xo, y, yo);
    }
    larger(whole, n, x, xo, y, yo);
  }

  private static void larger(int from, int to, float[] x, int xo, float[] y, int yo) {
    for (int i = from; i < to; i++) {
      if (x[xo + i] > y[yo + i % GROUPS]) {
        y[yo + i % GROUPS] = x[xo + i];
      }
    }
  }

  /// `out = Σ_s weight[s] · v[index[s]]` over `count` rows of `n` floats.
  ///
  /// @param v row r starts at `vo + r * n`
  public static void mix(
      int n, int count, float[] weight, int[] index, float[] v, int vo, float[] out, int oo) {
    mix(n, count, weight, index, 0, v, vo, out, oo);
  }

  /// `out = Σ_s weight[s] · v[index[from + s]]` over `count` rows of `n` floats.
  ///
  /// @param v row r starts at `vo + r * n`
  public static void mix(
      int n,
      int count,
      float[] weight,
      int[] index,
      int from,
      float[] v,
      int vo,
      float[] out,
      int oo) {
    int done = 0;
    if (KernelSelection.VECTOR) {
      done = RowPasses.mix(n, count, weight, index, from, v, vo, out, oo);
    }
    Arrays.fill(out, oo + done, oo + n, 0);
    for (int s = 0; s < count && done < n; s++) {
      for (int c = done; c < n; c++) {
        out[oo + c] = Math.fma(weight[s], v[vo + index[from + s] * n + c], out[oo + c]);
      }
    }
  }

  /// `y[i] += weight · max(0, scale · x[i])`; equal elements stay equal, wherever they are.
  public static void addRelu(
      int n, float weight, float scale, float[] x, int xo, float[] y, int yo) {
    for (int i = 0; i < n; i++) {
      y[yo + i] += weight * Math.max(0, scale * x[xo + i]);
    }
  }

  /// Lists the `wanted` largest of `count` scores, of equal ones the earlier first, in the order of
  /// their indices; NaN never.
  ///
  /// Every score is compared with every other: for some hundred scores, where sorting each of them
  /// in stumbles over its branches, three times as fast.
  ///
  /// @param x scores from `xo`
  /// @param into receives `wanted` indices from `to`, −1 where there are no more scores
  public static void largest(int count, int wanted, float[] x, int xo, int[] into, int to) {
    int size = 0;
    for (int base = 0; base < count; base += Long.SIZE) {
      int length = Math.min(Long.SIZE, count - base);
      long chosen = 0;
      int done = 0;
      if (KernelSelection.VECTOR) {
        for (int l = Lanes.L; done < length && xo + base + done + l <= x.length; done += l) {
          chosen |= RowPasses.amongLargest(count, wanted, x, xo, base + done) << done;
        }
      }
      for (; done < length; done++) {
        chosen |= isAmongLargest(count, wanted, x, xo, base + done) ? 1L << done : 0;
      }
      for (; chosen != 0; chosen &= chosen - 1) {
        into[to + size++] = base + Long.numberOfTrailingZeros(chosen);
      }
    }
    Arrays.fill(into, to + size, to + wanted, -1);
  }

  private static boolean isAmongLargest(int count, int wanted, float[] x, int xo, int i) {
    int rank = 0;
    float own = x[xo + i];
    for (int j = 0; j < count; j++) {
      rank += x[xo + j] > own || x[xo + j] == own && j < i ? 1 : 0;
    }
    return rank < wanted && !Float.isNaN(own);
  }
}
