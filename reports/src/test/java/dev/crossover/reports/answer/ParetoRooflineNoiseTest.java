// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class ParetoRooflineNoiseTest {
  private record Setting(String name, double cost, double error) {}

  @Test
  void frontKeepsWhatNothingBeatsInBothQuantities() {
    Setting fast = new Setting("fast", 1, 0.5);
    Setting good = new Setting("good", 4, 0.1);
    Setting beaten = new Setting("beaten", 5, 0.1);
    Setting middle = new Setting("middle", 2, 0.3);
    Setting unknown = new Setting("unknown", 0.1, Double.NaN);
    assertEquals(
        List.of(fast, middle, good),
        Pareto.front(List.of(beaten, good, fast, unknown, middle), Setting::cost, Setting::error));
  }

  @Test
  void equalSettingsStayTogetherOnTheFront() {
    Setting a = new Setting("a", 1, 1);
    Setting b = new Setting("b", 1, 1);
    assertEquals(List.of(a, b), Pareto.front(List.of(a, b), Setting::cost, Setting::error));
  }

  @Test
  void rooflineNamesTheBindingRoof() {
    Roofline low = Roofline.of(1e9, 1e9, 0.1, 100, 20);
    assertEquals(1, low.intensity());
    assertEquals(10, low.gflops(), 1e-12);
    assertEquals(0.1, low.shareOfPeak(), 1e-12);
    assertEquals(20, low.roof(), 1e-12);
    assertEquals(0.5, low.shareOfBandwidth(), 1e-12);
    assertTrue(low.memoryBound());
    Roofline high = Roofline.of(1e11, 1e9, 2, 100, 20);
    assertEquals(100, high.roof());
    assertFalse(high.memoryBound());
    assertTrue(Double.isNaN(Roofline.of(1, 1, 1, 0, 0).shareOfPeak()));
    assertTrue(Double.isNaN(Roofline.of(1, 1, 1, 0, 0).shareOfBandwidth()));
  }

  @Test
  void noiseIsJudgedBySpreadBetweenForks() {
    Curve quiet = new Curve("q", List.of(new Sample(256, List.of(1.0, 1.01, 1.02))));
    assertEquals(Noise.Verdict.QUIET, Noise.of(List.of(quiet)).verdict());
    Curve noisy = new Curve("loud", List.of(new Sample(512, List.of(1.0, 1.5, 2.0))));
    Noise noise = Noise.of(List.of(noisy));
    assertEquals(Noise.Verdict.NOISY, noise.verdict());
    assertEquals(1 / 1.5, noise.worstSpread(), 1e-12);
    assertEquals("loud at n = 512", noise.worstPoint());
    Curve single = new Curve("s", List.of(new Sample(256, List.of(1.0))));
    assertEquals(Noise.Verdict.UNKNOWN, Noise.of(List.of(single)).verdict());
  }

  @Test
  void valuesThatCannotBeMeasuredAreRefused() {
    assertThrows(IllegalArgumentException.class, () -> new Sample(0, List.of(1.0)));
    assertThrows(IllegalArgumentException.class, () -> new Sample(1, List.of()));
    assertThrows(IllegalArgumentException.class, () -> new Sample(1, List.of(Double.NaN)));
    Sample sample = new Sample(1, List.of(1.0));
    assertThrows(IllegalArgumentException.class, () -> new Curve("twice", List.of(sample, sample)));
  }
}
