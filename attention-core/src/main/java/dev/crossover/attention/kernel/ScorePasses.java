package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.INTS;
import static dev.crossover.attention.kernel.Lanes.L;
import static dev.crossover.attention.kernel.Lanes.ROWS;
import static dev.crossover.attention.kernel.Lanes.TILE;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// Passes over a score tile of ROWS × TILE, scores in units of log 2.
final class ScorePasses {
  /// Scores further above the reference than this raise it.
  private static final float THRESHOLD = 20f;

  private static final int THRESHOLD_BITS = Float.floatToRawIntBits(THRESHOLD);

  /// Found by [#addBias]: a bias of −∞, a hidden pair.
  static final int HOLES = 1;

  /// Found by [#addBias]: NaN.
  static final int NANS = 2;

  private ScorePasses() {}

  /// `s ← 2^s` in columns `from … to - 1`, a multiple of two vectors, and `sums += s` lane by lane.
  ///
  /// @return whether a score exceeds the threshold; among positive floats the order of the bits as
  ///     integers is that of the values, and a positive NaN comes out on top
  static boolean exponentiate(float[] s, int from, int to, float[] sums, int offset) {
    IntVector top = IntVector.zero(INTS);
    for (int r = 0; r < ROWS; r++) {
      FloatVector t0 = FloatVector.fromArray(FLOATS, sums, offset + r * L);
      FloatVector t1 = FloatVector.zero(FLOATS);
      for (int k = r * TILE + from, end = r * TILE + to; k < end; k += 2 * L) {
        FloatVector x = FloatVector.fromArray(FLOATS, s, k);
        FloatVector y = FloatVector.fromArray(FLOATS, s, k + L);
        top = top.max(x.reinterpretAsInts()).max(y.reinterpretAsInts());
        x = VectorMath.exp2(x);
        y = VectorMath.exp2(y);
        x.intoArray(s, k);
        y.intoArray(s, k + L);
        t0 = t0.add(x);
        t1 = t1.add(y);
      }
      t0.add(t1).intoArray(sums, offset + r * L);
    }
    return top.reduceLanes(VectorOperators.MAX) > THRESHOLD_BITS;
  }

  /// The same where row r sees only columns `begin[r] … end[r] - 1`; the others become 0.
  static boolean exponentiateEdges(
      float[] s, int[] begin, int[] end, int from, int to, float[] sums, int offset) {
    IntVector top = IntVector.zero(INTS);
    FloatVector hidden = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
    FloatVector zero = FloatVector.zero(FLOATS);
    for (int r = 0; r < ROWS; r++) {
      FloatVector sum = FloatVector.fromArray(FLOATS, sums, offset + r * L);
      int so = r * TILE;
      int low = begin[r];
      int high = end[r];
      int k = from;
      for (; k + L <= low; k += L) {
        zero.intoArray(s, so + k);
      }
      while (k < high) {
        FloatVector x = FloatVector.fromArray(FLOATS, s, so + k);
        if (k < low || k + L > high) {
          x = hidden.blend(x, FLOATS.indexInRange(k - low, high - low));
        }
        top = top.max(x.reinterpretAsInts());
        x = VectorMath.exp2(x);
        x.intoArray(s, so + k);
        sum = sum.add(x);
        k += L;
      }
      for (; k < to; k += L) {
        zero.intoArray(s, so + k);
      }
      sum.intoArray(sums, offset + r * L);
    }
    return top.reduceLanes(VectorOperators.MAX) > THRESHOLD_BITS;
  }

  /// Adds a bias to the visible scores of the first `count` rows; where it is −∞ the score becomes −∞,
  /// whatever it was.
  ///
  /// @return [#HOLES] and [#NANS] as found
  static int addBias(
      float[] s, int[] begin, int[] end, boolean edges, int first, int last,
      float[] bias, int bo, int ldb, int count) {
    int found = 0;
    for (int r = 0; r < Math.min(count, ROWS); r++) {
      int from = edges ? begin[r] : first;
      int to = edges ? end[r] : last;
      VectorMask<Float> holes = FLOATS.maskAll(false);
      VectorMask<Float> nans = holes;
      for (int k = from; k < to; k += L) {
        VectorMask<Float> mask = FLOATS.indexInRange(k, to);
        FloatVector addition = FloatVector.fromArray(FLOATS, bias, bo + r * ldb + k, mask);
        FloatVector score = FloatVector.fromArray(FLOATS, s, r * TILE + k, mask);
        VectorMask<Float> hole = addition.compare(VectorOperators.EQ, Float.NEGATIVE_INFINITY);
        FloatVector total =
            addition
                .fma(FloatVector.broadcast(FLOATS, VectorMath.LOG2E), score)
                .blend(Float.NEGATIVE_INFINITY, hole);
        holes = holes.or(hole);
        nans = nans.or(total.compare(VectorOperators.NE, total));
        total.intoArray(s, r * TILE + k, mask);
      }
      found |= (holes.anyTrue() ? HOLES : 0) | (nans.anyTrue() ? NANS : 0);
    }
    return found;
  }

  /// Largest of `s[from … to - 1]`, not counting NaN; −∞ if there is none.
  static float max(float[] s, int from, int to) {
    FloatVector lowest = FloatVector.broadcast(FLOATS, Float.NEGATIVE_INFINITY);
    FloatVector best = lowest;
    int k = from;
    for (; k + L <= to; k += L) {
      FloatVector x = FloatVector.fromArray(FLOATS, s, k);
      best = best.blend(x, x.compare(VectorOperators.GT, best));
    }
    if (k < to) {
      VectorMask<Float> mask = FLOATS.indexInRange(k, to);
      FloatVector x = lowest.blend(FloatVector.fromArray(FLOATS, s, k, mask), mask);
      best = best.blend(x, x.compare(VectorOperators.GT, best));
    }
    return best.reduceLanes(VectorOperators.MAX);
  }

  /// Whether `s[from … to - 1]` holds NaN.
  static boolean anyNan(float[] s, int from, int to) {
    for (int k = from; k < to; k++) {
      if (Float.isNaN(s[k])) {
        return true;
      }
    }
    return false;
  }

  /// `s[from … to - 1] -= x`.
  static void subtract(float[] s, int from, int to, float x) {
    int k = from;
    for (; k + L <= to; k += L) {
      FloatVector.fromArray(FLOATS, s, k).sub(x).intoArray(s, k);
    }
    if (k < to) {
      VectorMask<Float> mask = FLOATS.indexInRange(k, to);
      FloatVector.fromArray(FLOATS, s, k, mask).sub(x).intoArray(s, k, mask);
    }
  }

  /// `x[offset … offset + n - 1] *= factor`, n a multiple of L.
  static void scale(float[] x, int offset, int n, float factor) {
    for (int k = offset; k < offset + n; k += L) {
      FloatVector.fromArray(FLOATS, x, k).mul(factor).intoArray(x, k);
    }
  }
}
