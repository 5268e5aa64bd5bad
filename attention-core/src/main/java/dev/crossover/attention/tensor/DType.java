// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.tensor;

import java.nio.ByteBuffer;

/// The element types that tensor files may hold, named as in the safetensors format.
public enum DType {
  /// IEEE 754 binary16.
  F16(2, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Float.float16ToFloat(bytes.getShort(offset));
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.putShort(Float.floatToFloat16(roundToOdd(value)));
    }
  },
  /// The upper half of a binary32: 8 bits of exponent, 7 of fraction.
  BF16(2, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Float.intBitsToFloat(bytes.getShort(offset) << 16);
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.putShort(bfloat16(roundToOdd(value)));
    }
  },
  /// IEEE 754 binary32.
  F32(4, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getFloat(offset);
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.putFloat((float) value);
    }
  },
  /// IEEE 754 binary64.
  F64(8, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getDouble(offset);
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.putDouble(value);
    }
  },
  /// Signed 32-bit integer.
  I32(4, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getInt(offset);
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.putInt((int) value);
    }
  },
  /// Signed 64-bit integer; as a double it is exact up to 2⁵³.
  I64(8, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getLong(offset);
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.putLong((long) value);
    }
  },
  /// Unsigned 8-bit integer.
  U8(1, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Byte.toUnsignedInt(bytes.get(offset));
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.put((byte) (int) value);
    }
  },
  /// One byte, 0 or 1.
  BOOL(1, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Byte.toUnsignedInt(bytes.get(offset));
    }

    @Override
    void put(ByteBuffer bytes, double value) {
      bytes.put((byte) (int) value);
    }
  };

  private final int bytes;
  private final boolean integral;

  DType(int bytes, boolean integral) {
    this.bytes = bytes;
    this.integral = integral;
  }

  /// Bytes per element.
  public int bytes() {
    return bytes;
  }

  /// Whether every value of this type is an integer, so that it can be read as integers.
  public boolean isIntegral() {
    return integral;
  }

  /// The element that starts at a byte offset, in the buffer's byte order.
  abstract double doubleAt(ByteBuffer bytes, int offset);

  /// Appends a value, rounded to nearest with ties to even by the floating types; the integral
  /// types require that [#canHold] is true.
  abstract void put(ByteBuffer bytes, double value);

  /// Whether a value can be written as this type: always for the floating types, which round.
  boolean canHold(double value) {
    return switch (this) {
      case F16, BF16, F32, F64 -> true;
      case I32 -> value == (int) value;
      // 2^63 itself is a double, but no long.
      case I64 -> value == (long) value && value != 0x1p63;
      case U8 -> value == ((int) value & 0xff);
      case BOOL -> value == 0 || value == 1;
    };
  }

  /// A float from which rounding on to fewer bits gives what rounding the double directly would:
  /// truncated, with its last bit set if anything was cut off (Boldo and Melquiond, "Emulation of
  /// FMA and correctly rounded sums: proved algorithms using rounding to odd", 2008).
  private static float roundToOdd(double value) {
    float nearest = (float) value;
    if (nearest == value || Double.isNaN(value)) {
      return nearest;
    }
    boolean grew = Math.abs((double) nearest) > Math.abs(value);
    int truncated = Float.floatToRawIntBits(nearest) - (grew ? 1 : 0);
    return Float.intBitsToFloat(truncated | 1);
  }

  private static short bfloat16(float value) {
    int bits = Float.floatToRawIntBits(value);
    if (Float.isNaN(value)) {
      return (short) (bits >>> 16 | 0x40);
    }
    int tieToEven = 0x7fff + (bits >>> 16 & 1);
    return (short) (bits + tieToEven >>> 16);
  }
}
