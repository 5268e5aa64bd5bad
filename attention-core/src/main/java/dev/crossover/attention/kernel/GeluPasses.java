// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.kernel.Lanes.FLOATS;
import static dev.crossover.attention.kernel.Lanes.L;

import jdk.incubator.vector.FloatVector;

/// The vector passes of [Gelu], for the leading elements that whole vectors cover.
final class GeluPasses {
  private GeluPasses() {}

  /// x Φ(x).
  ///
  /// @return number of elements written
  static int apply(int n, float[] x, int xo, float[] y, int yo) {
    int i = 0;
    for (; i + L <= n; i += L) {
      FloatVector v = FloatVector.fromArray(FLOATS, x, xo + i);
      FloatVector half = v.mul(0.5f);
      erfOfRoot(v).fma(half, half).intoArray(y, yo + i);
    }
    return i;
  }

  /// Φ(x) + x φ(x), where d holds exp(−x²/2).
  ///
  /// @return number of elements written
  static int slope(int n, float[] x, int xo, float[] d, int o) {
    FloatVector half = FloatVector.broadcast(FLOATS, 0.5f);
    int i = 0;
    for (; i + L <= n; i += L) {
      FloatVector v = FloatVector.fromArray(FLOATS, x, xo + i);
      FloatVector density =
          FloatVector.fromArray(FLOATS, d, o + i).mul(v).mul(Gelu.INVERSE_ROOT_TWO_PI);
      erfOfRoot(v).fma(half, half).add(density).intoArray(d, o + i);
    }
    return i;
  }

  private static FloatVector erfOfRoot(FloatVector x) {
    FloatVector z = x.mul(Gelu.ROOT_HALF).min(Gelu.LIMIT).max(-Gelu.LIMIT);
    FloatVector s = z.mul(z);
    FloatVector p = constant(Gelu.P6);
    p = p.fma(s, constant(Gelu.P5));
    p = p.fma(s, constant(Gelu.P4));
    p = p.fma(s, constant(Gelu.P3));
    p = p.fma(s, constant(Gelu.P2));
    p = p.fma(s, constant(Gelu.P1));
    p = p.fma(s, constant(Gelu.P0));
    FloatVector q = constant(Gelu.Q4);
    q = q.fma(s, constant(Gelu.Q3));
    q = q.fma(s, constant(Gelu.Q2));
    q = q.fma(s, constant(Gelu.Q1));
    q = q.fma(s, constant(Gelu.Q0));
    return p.mul(z).div(q);
  }

  private static FloatVector constant(float value) {
    return FloatVector.broadcast(FLOATS, value);
  }
}
