package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.L;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;

/// Elementary functions of one vector.
///
/// All are small enough for C2 to inline; a vector that crosses a real call would be boxed, at a tenth of
/// the speed.
final class VectorMath {
  static final float LOG2E = 1.4426950408889634f;

  /// 1.5 · 2²³: adding it rounds a float to an integer, held in the low bits of the sum.
  private static final float ROUNDER = 12582912f;

  private static final int BITS_OF_MINUS_127 = Float.floatToRawIntBits(-127f);

  /// ln 2 in two parts; the first has few bits, so that its small multiples are exact.
  private static final float LN2_HIGH = 0.693359375f;
  private static final float LN2_LOW = -2.12194440e-4f;

  private static final float HALF_PI_HIGH = 1.57079637f;
  private static final float HALF_PI_LOW = -4.37113883e-8f;

  private VectorMath() {}

  /// `2^t` for t ≤ 127, relative error below 1.2e-7; exactly 0 for t ≤ −127.
  ///
  /// The clamp is an unsigned minimum of the bits, which among negative floats is a maximum of values: a
  /// float maximum must obey NaN and −0 and costs twice as much as all the rest. A NaN with its sign bit
  /// set therefore gives 0; callers that may meet one look for it themselves.
  static FloatVector exp2(FloatVector t) {
    FloatVector clamped =
        t.reinterpretAsInts().lanewise(VectorOperators.UMIN, BITS_OF_MINUS_127).reinterpretAsFloats();
    FloatVector z = clamped.add(ROUNDER);
    FloatVector f = clamped.sub(z.sub(ROUNDER));
    return scaleByPower(twoToFraction(f), z);
  }

  /// `2^f` for |f| ≤ ½, relative error 9e-8: a minimax polynomial of degree 5.
  private static FloatVector twoToFraction(FloatVector f) {
    FloatVector p = FloatVector.broadcast(FLOATS, 1.326472706887901e-3f);
    p = p.fma(f, FloatVector.broadcast(FLOATS, 9.671512648866308e-3f));
    p = p.fma(f, FloatVector.broadcast(FLOATS, 5.550733743678104e-2f));
    p = p.fma(f, FloatVector.broadcast(FLOATS, 2.4022242085174111e-1f));
    p = p.fma(f, FloatVector.broadcast(FLOATS, 6.93146977598868e-1f));
    return p.fma(f, FloatVector.broadcast(FLOATS, 1f));
  }

  private static FloatVector scaleByPower(FloatVector p, FloatVector z) {
    IntVector exponent = z.reinterpretAsInts().lanewise(VectorOperators.LSHL, 23);
    return p.reinterpretAsInts().add(exponent).reinterpretAsFloats();
  }

  /// `exp(x)`, relative error below 3e-7; 0 below −87, +∞ above 88, NaN for NaN.
  ///
  /// x is reduced by multiples of ln 2 in two parts (Cody and Waite), since x · log2(e) alone would lose
  /// 87 · 2⁻²⁴ relative.
  static FloatVector exp(FloatVector x) {
    FloatVector z = x.fma(FloatVector.broadcast(FLOATS, LOG2E), FloatVector.broadcast(FLOATS, ROUNDER));
    FloatVector n = z.sub(ROUNDER);
    FloatVector r = n.fma(FloatVector.broadcast(FLOATS, -LN2_HIGH), x);
    r = n.fma(FloatVector.broadcast(FLOATS, -LN2_LOW), r);
    FloatVector power = scaleByPower(twoToFraction(r.mul(LOG2E)), z).add(x.sub(x));
    return power
        .blend(0f, x.compare(VectorOperators.LT, -87f))
        .blend(Float.POSITIVE_INFINITY, x.compare(VectorOperators.GT, 88f));
  }

  /// `tanh x = (1 − e) / (1 + e)` with `e = exp(−2|x|)`, the sign of x put back; NaN for NaN.
  static FloatVector tanh(FloatVector x) {
    IntVector bits = x.reinterpretAsInts();
    IntVector sign = bits.and(Integer.MIN_VALUE);
    FloatVector magnitude = bits.and(Integer.MAX_VALUE).reinterpretAsFloats();
    FloatVector e = exp2(magnitude.mul(-2 * LOG2E));
    FloatVector one = FloatVector.broadcast(FLOATS, 1f);
    FloatVector t = one.sub(e).div(one.add(e));
    FloatVector signed = t.reinterpretAsInts().or(sign).reinterpretAsFloats();
    return signed.blend(x, x.compare(VectorOperators.NE, x));
  }

  /// The multiple of π/2 nearest to x, as the low bits of a rounded float.
  static FloatVector quadrant(FloatVector x) {
    return x.fma(
        FloatVector.broadcast(FLOATS, 0.636619772f), FloatVector.broadcast(FLOATS, ROUNDER));
  }

  /// x less its quadrant. The first step is exact for |x| up to 1e4 (a multiple of 2⁻²³ below 1), the
  /// second rounds once.
  static FloatVector withinQuadrant(FloatVector x, FloatVector quadrant) {
    FloatVector n = quadrant.sub(ROUNDER);
    FloatVector r = n.fma(FloatVector.broadcast(FLOATS, -HALF_PI_HIGH), x);
    return n.fma(FloatVector.broadcast(FLOATS, -HALF_PI_LOW), r);
  }

  /// Sine of `withinQuadrant + turn · π/2`, `turn` in the low two bits.
  static FloatVector sineOfTurn(FloatVector r, IntVector turn) {
    FloatVector square = r.mul(r);
    FloatVector s = FloatVector.broadcast(FLOATS, -1.9515295891e-4f);
    s = s.fma(square, FloatVector.broadcast(FLOATS, 8.3321608736e-3f));
    s = s.fma(square, FloatVector.broadcast(FLOATS, -1.6666654611e-1f));
    FloatVector sine = s.mul(square).fma(r, r);
    FloatVector c = FloatVector.broadcast(FLOATS, 2.443315711809948e-5f);
    c = c.fma(square, FloatVector.broadcast(FLOATS, -1.388731625493765e-3f));
    c = c.fma(square, FloatVector.broadcast(FLOATS, 4.166664568298827e-2f));
    c = c.fma(square, FloatVector.broadcast(FLOATS, -0.5f));
    FloatVector cosine = c.fma(square, FloatVector.broadcast(FLOATS, 1f));
    VectorMask<Float> odd =
        turn.and(1).compare(VectorOperators.NE, 0).cast(FLOATS);
    IntVector sign = turn.and(2).lanewise(VectorOperators.LSHL, 30);
    return sine.blend(cosine, odd)
        .reinterpretAsInts()
        .lanewise(VectorOperators.XOR, sign)
        .reinterpretAsFloats();
  }

  /// Whether all of `x[xo … xo + n - 1]` are finite.
  static boolean finite(int n, float[] x, int xo) {
    FloatVector zero = FloatVector.zero(FLOATS);
    FloatVector found = zero;
    int i = 0;
    for (; i <= n - L; i += L) {
      found = FloatVector.fromArray(FLOATS, x, xo + i).fma(zero, found);
    }
    if (i < n) {
      found =
          FloatVector.fromArray(FLOATS, x, xo + i, FLOATS.indexInRange(i, n)).fma(zero, found);
    }
    return found.compare(VectorOperators.EQ, found).allTrue();
  }

  /// Whether `rows` rows of `n` floats, `ld` apart, are all finite.
  static boolean finite(int rows, int n, float[] x, int xo, int ld) {
    if (ld == n) {
      return finite(rows * n, x, xo);
    }
    for (int r = 0; r < rows; r++) {
      if (!finite(n, x, xo + r * ld)) {
        return false;
      }
    }
    return true;
  }
}
