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
    int done = 0;
    if (KernelSelection.VECTOR) {
      done = RowPasses.mix(n, count, weight, index, v, vo, out, oo);
    }
    Arrays.fill(out, oo + done, oo + n, 0);
    for (int s = 0; s < count && done < n; s++) {
      for (int c = done; c < n; c++) {
        out[oo + c] = Math.fma(weight[s], v[vo + index[s] * n + c], out[oo + c]);
      }
    }
  }
}
