// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class InfluenceTest {
  private static final List<Integer> LENGTHS = List.of(32, 64, 128, 256);

  private static Influence of(String mixer) {
    return Influence.of(mixer, LENGTHS, 3, 4, 1);
  }

  @Test
  void aWindowIsBlindBeyondItsReach() {
    // two blocks look back 16 positions each
    assertEquals(64, of("longformer:window=16").zeroFrom());
  }

  @Test
  void softmaxAveragesAndDeltaNetKeeps() {
    Influence.Estimate softmax = of("tiled").slope();
    Influence.Estimate delta = of("deltanet").slope();
    // measured with another program on other weights: −0.78 and −0.04
    assertTrue(softmax.high() < -0.5, "softmax " + softmax);
    assertTrue(delta.low() < 0 && delta.high() > 0, "a constant: deltanet " + delta);
  }

  @Test
  void aDecayForgetsFasterThanAnyPower() {
    Influence retnet = of("retnet");
    double early = Math.log(retnet.at(1).mean() / retnet.at(0).mean()) / Math.log(2);
    double late = Math.log(retnet.at(3).mean() / retnet.at(2).mean()) / Math.log(2);
    assertTrue(late < early - 0.5, "slopes " + early + " and " + late);
  }

  @Test
  void threadsDoNotChangeTheNumbers() {
    Influence two = Influence.of("tiled", List.of(32, 64), 1, 2, 2);
    Influence one = Influence.of("tiled", List.of(32, 64), 1, 2, 1);
    assertArrayEquals(one.values()[0], two.values()[0]);
  }

  @Test
  void whatCannotBeCausalIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> of("linformer"));
  }

  @Test
  void aSlopeIsThatOfThePointsAboveRounding() {
    double[][] floors = {{1e-7, 1e-7, 1e-7, 1e-7}, {1e-7, 1e-7, 1e-7, 1e-7}};
    double[][] values = {{1, 0.5, 0.25, 1e-8}, {1, 0.25, 0.0625, 1e-8}};
    Influence made = new Influence("x", LENGTHS, values, floors);
    assertEquals(-1.5, made.slope().mean(), 1e-9);
    // Student's t with one degree of freedom: 12.7062 · (1/√2) / √2
    assertEquals(-1.5 - 6.3531, made.slope().low(), 1e-3);
    assertEquals(256, made.roundingFrom());
    assertEquals(0, made.zeroFrom());
  }
}
