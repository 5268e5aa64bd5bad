// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import java.util.Arrays;

/// What choosing among the scores of a row needs: maxima of many small groups in one pass, counts
/// and marks of those that reach a bound, and the weighted sum of a few chosen rows.
public final class RowSelection {
  /// Number of groups that [#maxima] fills: element i belongs to group i modulo this.
  public static final int GROUPS = 16;

  private static final int HALVINGS = 24;

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

  /// The k-th largest of n scores, NaN counted as smallest: −∞ if there are fewer than k others.
  ///
  /// Nothing is reordered: the scores that reach a bound are counted, a compare and a population
  /// count per vector without a branch, and the bound is halved until exactly k reach it. Ten to
  /// fifteen counts do for some hundred scores, where partitioning them stumbles over a branch per
  /// score. By values first, which most scores are spread over evenly; where that has not ended,
  /// by the order of floats, which always ends.
  ///
  /// @param k from 1 to n
  /// @param x scores from `xo`, unchanged
  public static float kthLargest(int n, int k, float[] x, int xo) {
    float low = smallestFrom(n, Float.NEGATIVE_INFINITY, x, xo);
    float high = largest(n, x, xo);
    if (atLeast(n, high, x, xo) >= k) {
      return high;
    }
    if (atLeast(n, low, x, xo) < k) {
      return Float.NEGATIVE_INFINITY;
    }
    // at least k reach low, fewer reach high
    for (int halved = 0; halved < HALVINGS; halved++) {
      float middle = 0.5f * low + 0.5f * high;
      if (!(middle > low && middle < high)) {
        break;
      }
      int count = atLeast(n, middle, x, xo);
      if (count == k) {
        return smallestFrom(n, middle, x, xo);
      }
      low = count > k ? middle : low;
      high = count > k ? high : middle;
    }
    long from = order(low);
    long to = order(high);
    while (to - from > 1) {
      long middle = from + (to - from) / 2;
      float bound = ordered((int) middle);
      int count = atLeast(n, bound, x, xo);
      if (count == k) {
        return smallestFrom(n, bound, x, xo);
      }
      from = count > k ? middle : from;
      to = count > k ? to : middle;
    }
    return ordered((int) from);
  }

  /// Place of a float in the order of all, −0 before 0.
  private static int order(float value) {
    int bits = Float.floatToRawIntBits(value);
    return bits ^ (bits >> 31 & Integer.MAX_VALUE);
  }

  private static float ordered(int place) {
    return Float.intBitsToFloat(place ^ (place >> 31 & Integer.MAX_VALUE));
  }

  /// The largest; −∞ where there is none, NaN counted as none.
  private static float largest(int n, float[] x, int xo) {
    int whole = KernelSelection.VECTOR ? n / Lanes.L * Lanes.L : 0;
    float largest = Float.NEGATIVE_INFINITY;
    if (whole > 0) {
      largest = RowPasses.largest(whole, x, xo);
    }
    for (int i = whole; i < n; i++) {
      largest = x[xo + i] > largest ? x[xo + i] : largest;
    }
    return largest;
  }

  /// The smallest of those that reach a bound; ∞ where none does.
  private static float smallestFrom(int n, float bound, float[] x, int xo) {
    int whole = KernelSelection.VECTOR ? n / Lanes.L * Lanes.L : 0;
    float smallest = Float.POSITIVE_INFINITY;
    if (whole > 0) {
      smallest = RowPasses.smallestFrom(whole, bound, x, xo);
    }
    for (int i = whole; i < n; i++) {
      smallest = x[xo + i] >= bound && x[xo + i] < smallest ? x[xo + i] : smallest;
    }
    return smallest;
  }

  /// How many of n scores reach a bound; NaN never does.
  ///
  /// @param x scores from `xo`
  public static int atLeast(int n, float bound, float[] x, int xo) {
    int whole = KernelSelection.VECTOR ? n / Lanes.L * Lanes.L : 0;
    int count = 0;
    if (whole > 0) {
      count = RowPasses.atLeast(whole, bound, x, xo);
    }
    for (int i = whole; i < n; i++) {
      count += x[xo + i] >= bound ? 1 : 0;
    }
    return count;
  }

  /// Marks the scores that reach a bound, by the group they belong to, see [#maxima]: bit `first +
  /// i / GROUPS` of `marks[i % GROUPS]` is set where score i does; other bits stay.
  ///
  /// @param x scores from `xo`
  /// @param first so that no bit is beyond 63
  public static void mark(int n, float bound, float[] x, int xo, int first, long[] marks) {
    int whole = 0;
    if (KernelSelection.VECTOR) {
      whole = n / GROUPS * GROUPS;
      RowPasses.mark(whole, bound, x, xo, first, marks);
    }
    for (int i = whole; i < n; i++) {
      if (x[xo + i] >= bound) {
        marks[i % GROUPS] |= 1L << first + i / GROUPS;
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
