// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// Turns numbers stored in fewer bits into floats, exactly.
///
/// bfloat16 and bytes have vector code, chosen once like all kernels, and a scalar twin; both give
/// the same bits. The rest are loops that the compiler turns into vectors itself, or cannot.
public final class Widening {
  private Widening() {}

  /// IEEE half precision, subnormals, infinities and NaN included; see [NarrowRows].
  public static void half(int count, short[] from, int at, float[] to, int o) {
    ScalarWidening.half(count, from, at, to, o);
  }

  /// bfloat16: the upper 16 bits of a float.
  public static void brain(int count, short[] from, int at, float[] to, int o) {
    if (KernelSelection.VECTOR) {
      VectorWidening.brain(count, from, at, to, o);
    } else {
      ScalarWidening.brain(count, from, at, to, o);
    }
  }

  /// Unsigned numbers of few bits, packed from the lowest bits of a byte up; a loop for the
  /// compiler, because vectors do not interleave parts of bytes.
  ///
  /// @param bits 2, 4 or 8
  /// @param first number of the first of them in `from`
  public static void packed(int count, int bits, byte[] from, int first, float[] to, int o) {
    int perByte = 8 / bits;
    int mask = (1 << bits) - 1;
    int i = 0;
    if (first % perByte == 0) {
      int at = first / perByte;
      for (; i <= count - perByte; i += perByte, at++) {
        int packed = from[at];
        for (int part = 0; part < perByte; part++) {
          to[o + i + part] = packed >>> part * bits & mask;
        }
      }
    }
    for (; i < count; i++) {
      int number = first + i;
      to[o + i] = from[number / perByte] >>> number % perByte * bits & mask;
    }
  }

  /// `x[i] = factor · x[i] + shift`, rounded twice.
  public static void affine(int count, float factor, float shift, float[] x, int xo) {
    for (int i = xo; i < xo + count; i++) {
      float scaled = factor * x[i];
      x[i] = scaled + shift;
    }
  }

  /// Signed bytes times a factor.
  public static void bytes(int count, byte[] from, int at, float factor, float[] to, int o) {
    if (KernelSelection.VECTOR) {
      VectorWidening.bytes(count, from, at, factor, to, o);
    } else {
      ScalarWidening.bytes(count, from, at, factor, to, o);
    }
  }
}
