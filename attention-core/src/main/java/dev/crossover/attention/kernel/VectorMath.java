// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.L;

import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.VectorShuffle;

/// Constants of the elementary functions, and a test for NaN and infinities.
final class VectorMath {
  static final float LOG2E = 1.4426950408889634f;

  /// 1.5 · 2²³: adding it rounds a float to an integer, held in the low bits of the sum.
  static final float ROUNDER = 12582912f;

  static final int BITS_OF_MINUS_127 = Float.floatToRawIntBits(-127f);

  /// ln 2 in two parts; the first has few bits, so that its small multiples are exact.
  static final float LN2_HIGH = 0.693359375f;
  static final float LN2_LOW = -2.12194440e-4f;

  /// π/2 in two parts. Taking n · HALF_PI_HIGH off is exact for |x| up to 1e4 (what is left is a
  /// multiple of 2⁻²³ below 1), the second part rounds once.
  static final float HALF_PI_HIGH = 1.57079637f;
  static final float HALF_PI_LOW = -4.37113883e-8f;

  static final float TWO_OVER_PI = 0.636619772f;

  /// Lanes 0, 1, 2, … as ints and as floats.
  static final IntVector LANE_NUMBERS = IntVector.zero(Lanes.INTS).addIndex(1);

  static final FloatVector LANES = FloatVector.zero(FLOATS).addIndex(1);

  /// Rotations by half, a quarter, … of 16 lanes.
  static final VectorShuffle<Float> BY_8 = rotation(8);
  static final VectorShuffle<Float> BY_4 = rotation(4);
  static final VectorShuffle<Float> BY_2 = rotation(2);
  static final VectorShuffle<Float> BY_1 = rotation(1);

  private VectorMath() {}

  private static VectorShuffle<Float> rotation(int distance) {
    return VectorShuffle.fromOp(FLOATS, lane -> (lane + distance) % L);
  }

  /// Whether `rows` rows of `n` floats, `ld` apart, are all finite.
  static boolean finite(int rows, int n, float[] x, int xo, int ld) {
    if (ld == n) {
      return ScorePasses.finite(rows * n, x, xo, 1);
    }
    for (int r = 0; r < rows; r++) {
      if (!ScorePasses.finite(n, x, xo + r * ld, 1)) {
        return false;
      }
    }
    return true;
  }
}
