// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import jdk.incubator.vector.ByteVector;
import jdk.incubator.vector.FloatVector;
import jdk.incubator.vector.IntVector;
import jdk.incubator.vector.ShortVector;
import jdk.incubator.vector.VectorMask;
import jdk.incubator.vector.VectorOperators;
import jdk.incubator.vector.VectorShape;
import jdk.incubator.vector.VectorSpecies;

/// Vector forms of [Widening].
///
/// A half is moved to the exponent and mantissa bits of a float and multiplied by 2^112, the
/// difference of the exponents' biases, which also makes subnormals right; infinities and NaN get
/// the float's largest exponent instead.
final class VectorWidening {
  private static final VectorSpecies<Float> FLOATS = Lanes.FLOATS;
  private static final VectorSpecies<Integer> INTS = Lanes.INTS;
  private static final int L = Lanes.L;
  private static final VectorSpecies<Short> SHORTS =
      VectorSpecies.of(short.class, VectorShape.forBitSize(16 * L));

  /// At least 64 bits, the smallest shape: with four lanes a vector of bytes fills two of ints.
  private static final VectorSpecies<Byte> BYTES =
      VectorSpecies.of(byte.class, VectorShape.forBitSize(Math.max(64, 8 * L)));

  private static final float BIAS = 0x1p112f;
  private static final int HALF_INFINITY = 0x7c00;
  private static final int FLOAT_INFINITY = 0x7f800000;

  private VectorWidening() {}

  static void half(int count, short[] from, int at, float[] to, int o) {
    int i = 0;
    for (; i <= count - L; i += L) {
      IntVector bits = shorts(from, at + i);
      IntVector magnitude = bits.and(0x7fff);
      IntVector moved = magnitude.lanewise(VectorOperators.LSHL, 13);
      FloatVector value = moved.reinterpretAsFloats().mul(BIAS);
      VectorMask<Integer> special = magnitude.compare(VectorOperators.GE, HALF_INFINITY);
      IntVector sign = bits.and(0x8000).lanewise(VectorOperators.LSHL, 16);
      IntVector finite = value.reinterpretAsInts();
      finite
          .blend(moved.or(FLOAT_INFINITY), special)
          .or(sign)
          .reinterpretAsFloats()
          .intoArray(to, o + i);
    }
    ScalarWidening.half(count - i, from, at + i, to, o + i);
  }

  static void brain(int count, short[] from, int at, float[] to, int o) {
    int i = 0;
    for (; i <= count - L; i += L) {
      shorts(from, at + i)
          .lanewise(VectorOperators.LSHL, 16)
          .reinterpretAsFloats()
          .intoArray(to, o + i);
    }
    ScalarWidening.brain(count - i, from, at + i, to, o + i);
  }

  private static IntVector shorts(short[] from, int at) {
    return (IntVector)
        ShortVector.fromArray(SHORTS, from, at)
            .convertShape(VectorOperators.ZERO_EXTEND_S2I, INTS, 0);
  }

  static void bytes(int count, byte[] from, int at, float factor, float[] to, int o) {
    int step = BYTES.length();
    int i = 0;
    for (; i <= count - step; i += step) {
      ByteVector codes = ByteVector.fromArray(BYTES, from, at + i);
      for (int part = 0; part < step / L; part++) {
        FloatVector values = (FloatVector) codes.convertShape(VectorOperators.B2F, FLOATS, part);
        values.mul(factor).intoArray(to, o + i + part * L);
      }
    }
    ScalarWidening.bytes(count - i, from, at + i, factor, to, o + i);
  }
}
