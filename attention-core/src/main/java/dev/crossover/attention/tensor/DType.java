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
  },
  /// The upper half of a binary32: 8 bits of exponent, 7 of fraction.
  BF16(2, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Float.intBitsToFloat(bytes.getShort(offset) << 16);
    }
  },
  /// IEEE 754 binary32.
  F32(4, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getFloat(offset);
    }
  },
  /// IEEE 754 binary64.
  F64(8, false) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getDouble(offset);
    }
  },
  /// Signed 32-bit integer.
  I32(4, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getInt(offset);
    }
  },
  /// Signed 64-bit integer; as a double it is exact up to 2⁵³.
  I64(8, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return bytes.getLong(offset);
    }
  },
  /// Unsigned 8-bit integer.
  U8(1, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Byte.toUnsignedInt(bytes.get(offset));
    }
  },
  /// One byte, 0 or 1.
  BOOL(1, true) {
    @Override
    double doubleAt(ByteBuffer bytes, int offset) {
      return Byte.toUnsignedInt(bytes.get(offset));
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
}
