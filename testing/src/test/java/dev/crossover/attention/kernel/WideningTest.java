// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/// Every 16-bit number and every byte, at the width of this run, against Java's own conversion.
class WideningTest {
  private static final int ALL = 1 << 16;

  private static short[] every() {
    short[] all = new short[ALL];
    for (int i = 0; i < ALL; i++) {
      all[i] = (short) i;
    }
    return all;
  }

  @Test
  void everyHalfIsExact() {
    float[] wide = new float[ALL];
    Widening.half(ALL, every(), 0, wide, 0);
    for (int i = 0; i < ALL; i++) {
      float expected = Float.float16ToFloat((short) i);
      if (Float.isNaN(expected)) {
        assertEquals(Float.NaN, wide[i], "NaN of bits " + i);
      } else {
        assertEquals(
            Float.floatToRawIntBits(expected), Float.floatToRawIntBits(wide[i]), "bits " + i);
      }
    }
  }

  @Test
  void everyBrainNumberIsExact() {
    float[] wide = new float[ALL];
    Widening.brain(ALL, every(), 0, wide, 0);
    for (int i = 0; i < ALL; i++) {
      assertEquals(i << 16, Float.floatToRawIntBits(wide[i]), "bits " + i);
    }
  }

  @Test
  void everyByteIsItsNumberTimesTheFactor() {
    byte[] all = new byte[256];
    for (int i = 0; i < 256; i++) {
      all[i] = (byte) i;
    }
    float[] wide = new float[256];
    Widening.bytes(256, all, 0, 0.37f, wide, 0);
    for (int i = 0; i < 256; i++) {
      assertEquals((byte) i * 0.37f, wide[i], "byte " + i);
    }
  }

  @Test
  void anyStartAndLengthIsWrittenAndNothingElse() {
    for (int count = 0; count < 70; count++) {
      short[] from = new short[count + 3];
      byte[] codes = new byte[count + 3];
      for (int i = 0; i < count; i++) {
        from[3 + i] = Float.floatToFloat16(i - 20.5f);
        codes[3 + i] = (byte) (i - 20);
      }
      float[] to = new float[count + 10];
      Widening.half(count, from, 3, to, 5);
      float[] bytes = new float[count + 10];
      Widening.bytes(count, codes, 3, 2, bytes, 5);
      for (int i = 0; i < to.length; i++) {
        boolean inside = i >= 5 && i < 5 + count;
        assertEquals(inside ? i - 5 - 20.5f : 0, to[i], "count " + count + " at " + i);
        assertEquals(inside ? 2f * (i - 5 - 20) : 0, bytes[i], "count " + count + " at " + i);
      }
    }
  }
}
