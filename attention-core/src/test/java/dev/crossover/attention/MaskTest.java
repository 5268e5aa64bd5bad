// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import org.junit.jupiter.api.Test;

class MaskTest {

  @Test
  void causalOrderAlignsTheLastQueryWithTheLastKey() {
    assertEquals(11, Mask.causal().causalLimit(4, 5, 11));
    assertEquals(7, Mask.causal().causalLimit(0, 5, 11));
    assertEquals(1, Mask.causal().causalLimit(0, 5, 5));
  }

  @Test
  void explicitOffsetMayLeaveRowsWithoutKeys() {
    assertEquals(0, Mask.causal(-3).causalLimit(2, 5, 5));
    assertEquals(1, Mask.causal(-3).causalLimit(3, 5, 5));
    assertEquals(5, Mask.causal(100).causalLimit(0, 5, 5));
  }

  @Test
  void lengthsAreTheSameAsTheirBooleanPattern() {
    boolean[] pattern = {true, true, false, true, false, false};
    assertEquals(Mask.lengths(3, 2, 1), Mask.keys(3, pattern));
    assertTrue(Mask.lengths(3, 2, 1).isAtEnd());
    assertFalse(Mask.keys(3, new boolean[] {true, false, true}).isAtEnd());
  }

  @Test
  void bothRulesTogetherKeepTheirParts() {
    Mask mask = Mask.both(Mask.causal(), Mask.lengths(4, 3));
    assertTrue(mask.isCausal() && mask.hasKeyPadding());
    assertFalse(mask.isRealKey(0, 3));
    assertEquals(3, mask.realKeys(0, 4));
    assertEquals("causal+key_padding", mask.label());
  }

  @Test
  void lengthBeyondTheSequenceIsRefusedByName() {
    var error = assertThrows(IllegalArgumentException.class, () -> Mask.lengths(4, 5));
    assertEquals("lengths must be from 0 to keySeqLen (4), but was 5", error.getMessage());
  }
}
