// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import org.junit.jupiter.api.Test;

class SampleStatisticsTest {

  @Test
  void medianIsThatOfTheForksMedians() {
    List<List<Double>> samples = List.of(List.of(1.0, 9.0, 2.0), List.of(4.0, 6.0), List.of(3.0));
    assertEquals(3, SampleStatistics.of(samples).median());
  }

  /// Logarithms −ln 2, 0, ln 2: mean 0, standard error ln 2 / √3, and the tabled 97.5 % point of
  /// Student's t with two degrees of freedom is 4.302653.
  @Test
  void intervalIsStudentsOnTheLogarithms() {
    SampleStatistics s =
        SampleStatistics.of(List.of(List.of(0.5, 0.5), List.of(1.0), List.of(2.0)));
    assertEquals(1, s.median());
    assertEquals(Math.pow(2, 4.302653 / Math.sqrt(3)), s.high(), 1e-5);
    assertEquals(1 / s.high(), s.low(), 1e-12);
  }

  @Test
  void equalForksHaveAnIntervalOfNoWidth() {
    SampleStatistics s = SampleStatistics.of(List.of(List.of(2.0, 2.0), List.of(2.0)));
    assertEquals(new SampleStatistics(2, 2, 2), s);
  }

  @Test
  void singleForkHasNoInterval() {
    SampleStatistics s = SampleStatistics.of(List.of(List.of(2.0, 3.0, 4.0)));
    assertEquals(3, s.median());
    assertFalse(s.hasInterval());
  }

  /// Six forks at 1 and five at 1,000: the logarithms' mean is 3.1 and half their interval 2.4, so
  /// that Student's interval alone would leave the median, 1, outside.
  @Test
  void intervalHoldsTheMedian() {
    List<Double> slow = List.of(1000.0);
    List<Double> fast = List.of(1.0);
    SampleStatistics s =
        SampleStatistics.of(
            List.of(fast, fast, fast, fast, fast, fast, slow, slow, slow, slow, slow));
    assertEquals(1, s.median());
    assertTrue(s.low() <= 1 && 1 <= s.high(), s.toString());
  }

  @Test
  void noSampleIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> SampleStatistics.of(List.of()));
    assertThrows(IllegalArgumentException.class, () -> SampleStatistics.of(List.of(List.of())));
    assertThrows(IllegalArgumentException.class, () -> SampleStatistics.of(List.of(List.of(0.0))));
  }
}
