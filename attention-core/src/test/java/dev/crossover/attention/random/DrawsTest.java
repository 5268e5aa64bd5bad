// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.random;

import static org.junit.jupiter.api.Assertions.assertEquals;

import org.junit.jupiter.api.Test;

/// Bits drawn by position look like independent ones.
class DrawsTest {
  private static final int COUNT = 100_000;

  @Test
  void everyBitIsSetHalfOfTheTimeAndIndependentOfItsNeighbours() {
    for (long key : new long[] {0, 1, 42, -1, 1L << 40}) {
      for (int bit = 0; bit < 32; bit++) {
        int set = 0;
        int sameAsNext = 0;
        int sameAsOtherKey = 0;
        for (int i = 0; i < COUNT; i++) {
          int own = Draws.bitsAt(key, i) >>> bit & 1;
          set += own;
          sameAsNext += own == (Draws.bitsAt(key, i + 1) >>> bit & 1) ? 1 : 0;
          sameAsOtherKey += own == (Draws.bitsAt(key + 1, i) >>> bit & 1) ? 1 : 0;
        }
        double fiveDeviations = 5 * Math.sqrt(COUNT * 0.25);
        assertEquals(COUNT / 2.0, set, fiveDeviations, "bit " + bit);
        assertEquals(COUNT / 2.0, sameAsNext, fiveDeviations, "bit " + bit);
        assertEquals(COUNT / 2.0, sameAsOtherKey, fiveDeviations, "bit " + bit);
      }
    }
  }
}
