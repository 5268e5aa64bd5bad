// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static dev.crossover.reports.answer.QualityRecords.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.quality.QualityRecord;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/// The synthetic study's times: linear_transformer is fastest, then longformer, reformer; tiled is
/// the exact baseline.
class QualityAdviceTest {
  private static final List<QualityRecord> RUNS =
      List.of(
          run("mqar", "tiled", "3e-3", 1, 65536, 64, 0.99),
          run("mqar", "linear_transformer", "3e-3", 1, 33000, 64, 0.25),
          run("mqar", "longformer:window=64", "3e-3", 1, 65536, 64, 0.95),
          run("mqar", "longformer:window=256", "3e-3", 1, 65536, 64, 0.97),
          run("mqar", "reformer", "3e-3", 1, -1, 64, 0.8),
          run("mqar", "deltanet", "3e-3", 1, 37000, 64, 1.0));

  private static QualityAdvice advise(
      List<QualityRecord> runs, String task, double accuracy, int n) {
    Advice.Question question =
        new Advice.Question(
            n, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), true, 0.05);
    return QualityAdvice.of(runs, SyntheticStudy.records(1), task, accuracy, question, "here");
  }

  private static String objection(QualityAdvice advice, String mixer) {
    return advice.rejected().stream()
        .filter(c -> c.row().mixer().equals(mixer))
        .findFirst()
        .orElseThrow()
        .objection();
  }

  @Test
  void theFastestThatLearnedTheTaskIsAdvised() {
    QualityAdvice advice = advise(RUNS, "mqar", 0.9, 8192);
    assertEquals(Optional.of("longformer:window=64"), advice.use());
    assertEquals("longformer:window=256", advice.eligible().get(1).row().mixer());
    assertEquals("accuracy too low", objection(advice, "linear_transformer"));
    assertEquals("accuracy too low", objection(advice, "reformer"));
    assertEquals("not timed there", objection(advice, "deltanet"));
    assertTrue(advice.lines().getFirst().equals("Use longformer:window=64"));
    assertTrue(advice.notes().stream().anyMatch(note -> note.contains("one seed")));
  }

  @Test
  void moreAccuracyLeavesExactAttentionAndThenNothing() {
    QualityAdvice exact = advise(RUNS, "mqar", 0.98, 8192);
    assertEquals(Optional.of("tiled"), exact.use());
    assertTrue(exact.lines().getFirst().startsWith("Use exact attention: tiled, accuracy 0.990"));
    QualityAdvice nothing = advise(RUNS, "mqar", 1, 8192);
    assertEquals(Optional.empty(), nothing.use());
    assertTrue(nothing.lines().getFirst().startsWith("Nothing is known to reach 1.0 on mqar"));
  }

  @Test
  void lengthsThatWereNotMeasuredAreNotAnswered() {
    QualityAdvice advice = advise(RUNS, "mqar", 0.9, 1 << 20);
    assertEquals(Optional.empty(), advice.use());
    assertTrue(advice.notes().stream().anyMatch(note -> note.contains("nothing is extrapolated")));
  }

  @Test
  void theWholeIntervalOverSeedsMustReachTheAccuracy() {
    List<QualityRecord> runs =
        List.of(
            run("mqar", "longformer:window=64", "3e-3", 1, 1, 64, 0.99),
            run("mqar", "longformer:window=64", "3e-3", 2, 1, 64, 0.91));
    assertEquals(
        "accuracy too low", objection(advise(runs, "mqar", 0.9, 8192), "longformer:window=64"));
  }

  @Test
  void aTaskIsNamedByItsNameWhereItWasTrainedInOneWayOnly() {
    List<QualityRecord> one =
        List.of(run("mqar:n=128", "longformer:window=64", "3e-3", 1, 1, 128, 1.0));
    assertEquals("mqar:n=128", advise(one, "mqar", 0.9, 8192).task());
    List<QualityRecord> two =
        List.of(
            run("mqar:n=128", "tiled", "3e-3", 1, 1, 128, 1.0),
            run("mqar:n=256", "tiled", "3e-3", 1, 1, 256, 1.0));
    assertThrows(IllegalArgumentException.class, () -> advise(two, "mqar", 0.9, 8192));
    assertThrows(IllegalArgumentException.class, () -> advise(two, "parity", 0.9, 8192));
  }
}
