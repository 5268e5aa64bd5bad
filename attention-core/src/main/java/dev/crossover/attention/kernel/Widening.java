// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// Turns numbers stored in fewer bits into floats, exactly.
///
/// bfloat16 and bytes have vector code, chosen once like all kernels, and a scalar twin; both give
/// the same bits. Halves are a loop that the compiler turns into vectors itself.
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

  /// Signed bytes times a factor.
  public static void bytes(int count, byte[] from, int at, float factor, float[] to, int o) {
    if (KernelSelection.VECTOR) {
      VectorWidening.bytes(count, from, at, factor, to, o);
    } else {
      ScalarWidening.bytes(count, from, at, factor, to, o);
    }
  }
}
