package dev.crossover.bench.result;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import java.util.ArrayList;
import java.util.List;
import org.apache.commons.rng.UniformRandomProvider;
import org.junit.jupiter.api.Test;

class SampleStatisticsTest {

  @Test
  void medianIsThatOfTheForksMedians() {
    List<List<Double>> samples = List.of(List.of(1.0, 9.0, 2.0), List.of(4.0, 6.0), List.of(3.0));
    SampleStatistics statistics = SampleStatistics.of(samples, 1);
    assertEquals(3, statistics.median());
    assertTrue(statistics.low() >= 1 && statistics.high() <= 9);
    assertEquals(statistics, SampleStatistics.of(samples, 1));
  }

  @Test
  void equalSamplesHaveAnIntervalOfNoWidth() {
    SampleStatistics statistics = SampleStatistics.of(List.of(List.of(2.0, 2.0)), 1);
    assertEquals(new SampleStatistics(2, 2, 2), statistics);
  }

  @Test
  void forksThatDisagreeWidenTheIntervalToCoverBoth() {
    SampleStatistics statistics =
        SampleStatistics.of(List.of(List.of(1.0, 1.0), List.of(2.0, 2.0)), 1);
    assertEquals(new SampleStatistics(1.5, 1, 2), statistics);
  }

  /// With 12 forks whose medians are symmetric about 0 the interval must hold 0 in most of 200
  /// trials. A binomial count with p = 0.9 is below 160 with probability under 1e-5.
  @Test
  void intervalCoversTheTrueMedian() {
    int covered = 0;
    for (long trial = 0; trial < 200; trial++) {
      UniformRandomProvider random = Draws.generator(trial);
      List<List<Double>> samples = new ArrayList<>();
      for (int fork = 0; fork < 12; fork++) {
        double shift = random.nextDouble() - 0.5;
        samples.add(List.of(shift, shift, shift));
      }
      SampleStatistics s = SampleStatistics.of(samples, trial);
      covered += s.low() <= 0 && 0 <= s.high() ? 1 : 0;
    }
    assertTrue(covered >= 160, "covered in " + covered + " of 200 trials");
  }

  @Test
  void noSampleIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> SampleStatistics.of(List.of(), 1));
    assertThrows(IllegalArgumentException.class, () -> SampleStatistics.of(List.of(List.of()), 1));
  }
}
