// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.INTS;
import static dev.crossover.attention.kernel.Lanes.L;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// The vector passes of [RowSelection].
///
/// Maxima are taken by comparison and blend: the float maximum must order NaN and −0 and costs
/// twice as much, and lanes as groups need no reduction across lanes.
final class RowPasses {
  private static final int GROUPS = RowSelection.GROUPS;

  private RowPasses() {}

  /// [RowSelection#maxima] for n a multiple of GROUPS.
  static void maxima(int n, float[] x, int xo, float[] y, int yo) {
    int end = xo + n;
    for (int g = 0; g < GROUPS; g += L) {
      FloatVector even = FloatVector.fromArray(FLOATS, y, yo + g);
      FloatVector odd = even;
      int i = xo + g;
      for (; i + GROUPS < end; i += 2 * GROUPS) {
        FloatVector a = FloatVector.fromArray(FLOATS, x, i);
        FloatVector b = FloatVector.fromArray(FLOATS, x, i + GROUPS);
        even = even.blend(a, a.compare(VectorOperators.GT, even));
        odd = odd.blend(b, b.compare(VectorOperators.GT, odd));
      }
      if (i < end) {
        FloatVector a = FloatVector.fromArray(FLOATS, x, i);
        even = even.blend(a, a.compare(VectorOperators.GT, even));
      }
      even.blend(odd, odd.compare(VectorOperators.GT, even)).intoArray(y, yo + g);
    }
  }

  /// The largest of n scores, n a multiple of the vector length above zero; NaN counts as none.
  static float largest(int n, float[] x, int xo) {
    FloatVector best = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
    for (int i = 0; i < n; i += L) {
      FloatVector v = FloatVector.fromArray(FLOATS, x, xo + i);
      best = best.blend(v, v.compare(VectorOperators.GT, best));
    }
    return best.reduceLanes(VectorOperators.MAX);
  }

  /// The smallest of n scores that reach a bound, n as above.
  static float smallestFrom(int n, float bound, float[] x, int xo) {
    FloatVector least = FloatVector.broadcast(FLOATS, Float.POSITIVE_INFINITY);
    FloatVector from = FloatVector.broadcast(FLOATS, bound);
    for (int i = 0; i < n; i += L) {
      FloatVector v = FloatVector.fromArray(FLOATS, x, xo + i);
      least =
          least.blend(
              v, v.compare(VectorOperators.GE, from).and(v.compare(VectorOperators.LT, least)));
    }
    return least.reduceLanes(VectorOperators.MIN);
  }

  /// [RowSelection#atLeast] for n a multiple of the vector length.
  static int atLeast(int n, float bound, float[] x, int xo) {
    FloatVector from = FloatVector.broadcast(FLOATS, bound);
    int even = 0;
    int odd = 0;
    int i = 0;
    for (; i + L < n; i += 2 * L) {
      FloatVector a = FloatVector.fromArray(FLOATS, x, xo + i);
      FloatVector b = FloatVector.fromArray(FLOATS, x, xo + i + L);
      even += a.compare(VectorOperators.GE, from).trueCount();
      odd += b.compare(VectorOperators.GE, from).trueCount();
    }
    if (i < n) {
      FloatVector a = FloatVector.fromArray(FLOATS, x, xo + i);
      even += a.compare(VectorOperators.GE, from).trueCount();
    }
    return even + odd;
  }

  /// [RowSelection#mark] for n a multiple of GROUPS.
  static void mark(int n, float bound, float[] x, int xo, int first, long[] marks) {
    FloatVector from = FloatVector.broadcast(FLOATS, bound);
    for (int i = 0; i < n; i += L) {
      FloatVector v = FloatVector.fromArray(FLOATS, x, xo + i);
      long reached = v.compare(VectorOperators.GE, from).toLong();
      for (; reached != 0; reached &= reached - 1) {
        int at = i + Long.numberOfTrailingZeros(reached);
        marks[at % GROUPS] |= 1L << first + at / GROUPS;
      }
    }
  }

  /// [RowSelection#mix] for the leading columns that whole vectors cover.
  ///
  /// @return their number
  static int mix(
      int n,
      int count,
      float[] weight,
      int[] index,
      int from,
      float[] v,
      int vo,
      float[] out,
      int oo) {
    int c = 0;
    for (; c + 4 * L <= n; c += 4 * L) {
      FloatVector s0 = FloatVector.zero(FLOATS);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int s = 0; s < count; s++) {
        FloatVector w = FloatVector.broadcast(FLOATS, weight[s]);
        int row = vo + index[from + s] * n + c;
        s0 = w.fma(FloatVector.fromArray(FLOATS, v, row), s0);
        s1 = w.fma(FloatVector.fromArray(FLOATS, v, row + L), s1);
        s2 = w.fma(FloatVector.fromArray(FLOATS, v, row + 2 * L), s2);
        s3 = w.fma(FloatVector.fromArray(FLOATS, v, row + 3 * L), s3);
      }
      s0.intoArray(out, oo + c);
      s1.intoArray(out, oo + c + L);
      s2.intoArray(out, oo + c + 2 * L);
      s3.intoArray(out, oo + c + 3 * L);
    }
    for (; c + L <= n; c += L) {
      FloatVector sum = FloatVector.zero(FLOATS);
      for (int s = 0; s < count; s++) {
        FloatVector row = FloatVector.fromArray(FLOATS, v, vo + index[from + s] * n + c);
        sum = FloatVector.broadcast(FLOATS, weight[s]).fma(row, sum);
      }
      sum.intoArray(out, oo + c);
    }
    return c;
  }

  /// Which of the scores `base … base + L - 1` that are below `count` belong to the `wanted`
  /// largest of `count`, a bit each: the rank of a score is the number of scores before it.
  static long amongLargest(int count, int wanted, float[] x, int xo, int base) {
    FloatVector own = FloatVector.fromArray(FLOATS, x, xo + base);
    IntVector rank = IntVector.zero(INTS);
    IntVector second = rank;
    int j = 0;
    for (; j + 2 <= base; j += 2) {
      rank = rank.sub(1, own.compare(VectorOperators.LE, x[xo + j]).cast(INTS));
      second = second.sub(1, own.compare(VectorOperators.LE, x[xo + j + 1]).cast(INTS));
    }
    int end = Math.min(count, base + L);
    for (; j < end; j++) {
      FloatVector other = FloatVector.broadcast(FLOATS, x[xo + j]);
      rank = rank.sub(1, own.lt(other).cast(INTS));
      VectorMask<Integer> later = VectorMath.LANE_NUMBERS.compare(VectorOperators.GT, j - base);
      rank = rank.sub(1, own.eq(other).cast(INTS).and(later));
    }
    for (; j + 2 <= count; j += 2) {
      rank = rank.sub(1, own.compare(VectorOperators.LT, x[xo + j]).cast(INTS));
      second = second.sub(1, own.compare(VectorOperators.LT, x[xo + j + 1]).cast(INTS));
    }
    for (; j < count; j++) {
      rank = rank.sub(1, own.compare(VectorOperators.LT, x[xo + j]).cast(INTS));
    }
    VectorMask<Integer> chosen =
        rank.add(second)
            .compare(VectorOperators.GT, -wanted)
            .and(VectorMath.LANE_NUMBERS.compare(VectorOperators.LT, count - base))
            .and(own.eq(own).cast(INTS));
    return chosen.toLong();
  }
}
