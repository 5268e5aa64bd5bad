// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peak;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.kernel.PeakLoop;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import java.util.List;
import org.junit.jupiter.api.Test;

class PeakTest {

  @Test
  void shareIsThatOfTheMedianUnlessThePeakMovedOrIsExceeded() {
    assertEquals("50", PeakShare.of(100, new PeakRange(195, 200, 210)));
    assertEquals(
        "disturbed: the peak moved by 11 %", PeakShare.of(100, new PeakRange(190, 200, 210)));
    assertEquals("disturbed: 102.5 % of the peak", PeakShare.of(205, new PeakRange(199, 200, 201)));
    assertEquals("", PeakShare.disturbance(200, new PeakRange(199, 200, 201)));
  }

  @Test
  void rangeHoldsLeastMedianAndMost() {
    assertEquals(new PeakRange(1, 2.5, 9), PeakMeter.range(List.of(3.0, 1.0, 9.0, 2.0)));
    assertEquals(new PeakRange(1, 3, 9), PeakMeter.range(List.of(3.0, 1.0, 9.0)));
    assertThrows(IllegalStateException.class, () -> PeakMeter.range(List.of()));
  }

  @Test
  void meterKeepsWhatItsSamplesReached() {
    PeakMeter meter = new PeakMeter(2);
    double first = meter.sample();
    double second = meter.sample();
    assertEquals(PeakMeter.range(List.of(first, second)), meter.range());
    assertTrue(meter.range().low() > 0);
    assertTrue(meter.flops() >= 2 * PeakLoop.flops(1024));
  }

  /// After n steps from b, x ← a x + b is b (1 + a + … + aⁿ); half the chains are subtracted.
  @Test
  void chainsOfTheLoopCancel() {
    assertEquals(0, PeakLoop.run(5, 0.5f, 1), 1e-6);
    assertTrue(PeakLoop.flops(3) >= 2 * 12 * 3);
  }
}
