package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.L;

import jdk.incubator.vector.FloatVector;
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

  /// [RowSelection#mix] for the leading columns that whole vectors cover.
  ///
  /// @return their number
  static int mix(
      int n, int count, float[] weight, int[] index, float[] v, int vo, float[] out, int oo) {
    int c = 0;
    for (; c + 4 * L <= n; c += 4 * L) {
      FloatVector s0 = FloatVector.zero(FLOATS);
      FloatVector s1 = s0;
      FloatVector s2 = s0;
      FloatVector s3 = s0;
      for (int s = 0; s < count; s++) {
        FloatVector w = FloatVector.broadcast(FLOATS, weight[s]);
        int row = vo + index[s] * n + c;
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
        FloatVector row = FloatVector.fromArray(FLOATS, v, vo + index[s] * n + c);
        sum = FloatVector.broadcast(FLOATS, weight[s]).fma(row, sum);
      }
      sum.intoArray(out, oo + c);
    }
    return c;
  }
}
