// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

/// The scalar twin of [VectorWidening], and halves, which have no other.
final class ScalarWidening {
  private ScalarWidening() {}

  static void half(int count, short[] from, int at, float[] to, int o) {
    for (int i = 0; i < count; i++) {
      to[o + i] = Float.float16ToFloat(from[at + i]);
    }
  }

  static void brain(int count, short[] from, int at, float[] to, int o) {
    for (int i = 0; i < count; i++) {
      to[o + i] = Float.intBitsToFloat(from[at + i] << 16);
    }
  }

  static void bytes(int count, byte[] from, int at, float factor, float[] to, int o) {
    for (int i = 0; i < count; i++) {
      to[o + i] = from[at + i] * factor;
    }
  }
}
