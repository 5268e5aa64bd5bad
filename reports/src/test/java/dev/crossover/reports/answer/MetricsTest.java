// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

class MetricsTest {
  private static Point point(double... samples) {
    ResultRecord like = SyntheticStudy.records(1).getFirst();
    List<Double> fork = new ArrayList<>();
    for (double sample : samples) {
      fork.add(sample);
    }
    ResultRecord.Time time = new ResultRecord.Time(List.of(fork), samples[0], null, null, 1, null);
    return new Point(like.shape().n(), List.of(Records.timed(like, time)));
  }

  @Test
  void keysAreSnakeCaseAndDiffer() {
    Set<String> keys = new HashSet<>();
    for (Metric metric : Metrics.ALL) {
      assertTrue(metric.key().matches("[a-z][a-z0-9_]*"), metric.key());
      assertTrue(keys.add(metric.key()), metric.key());
      assertEquals(metric, Metrics.of(metric.key()));
    }
  }

  /// Of 1, 2, … 200 the 198th is the least with 99 of 100 at most as long; of three the largest is.
  @Test
  void slowestSamplesAreTheirQuantileByNearestRank() {
    double[] many = new double[200];
    for (int i = 0; i < many.length; i++) {
      many[i] = 200 - i;
    }
    assertEquals(198, Metrics.SECONDS_P99.of(point(many)));
    assertEquals(7, Metrics.SECONDS_P99.of(point(3, 7, 5)));
  }

  /// Charts name columns by key: every one of them is a metric, or belongs to the point.
  @ParameterizedTest
  @EnumSource(Study.class)
  void chartsDifferAndNameColumnsThatExist(Study study) {
    StudyView view = StudyView.of(study);
    assertEquals(study, view.study());
    List<String> columns =
        Stream.concat(
                Stream.of("mechanism", "spec", "n", "fronts"),
                view.metrics().stream().map(Metric::key))
            .toList();
    Set<String> files = new HashSet<>();
    for (Chart chart : view.charts()) {
      assertTrue(files.add(chart.file()), chart.file());
      assertTrue(columns.containsAll(chart.columns()), chart.file() + " " + chart.columns());
    }
    assertTrue(files.contains("time-p99"), files.toString());
    assertTrue(view.charts().stream().anyMatch(Chart::onPage));
  }

  @Test
  void onlyWhatIsCountedOrComputedMakesAPointWorseAlone() {
    Point fast = point(1, 1, 1);
    Point slow = point(9, 9, 9);
    for (Metric metric : Metrics.ALL) {
      assertEquals("", metric.worse(fast, slow, 0.05), metric.key());
    }
    Metric lower = Metrics.SECONDS.judged("time", 0);
    assertEquals("", lower.worse(slow, fast, 0.05));
    assertEquals("time 1.00 s → 9.00 s", lower.worse(fast, slow, 0.05));
    Metric higher = Metrics.GFLOPS.judged("speed", 0);
    assertFalse(higher.worse(fast, slow, 0.05).isEmpty());
    assertEquals("", higher.worse(slow, fast, 0.05));
  }
}
