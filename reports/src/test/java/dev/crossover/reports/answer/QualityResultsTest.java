// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static dev.crossover.reports.answer.QualityRecords.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.List;
import org.junit.jupiter.api.Test;

class QualityResultsTest {
  private static final String PARITY = "parity:every=true";

  @Test
  void seedsAreOneRowAtTheLearningRateThatIsBestOnAverage() {
    List<QualityRecord> records =
        List.of(
            run(PARITY, "lstm", "1e-3", 1, 256, 40, 1.0),
            run(PARITY, "lstm", "1e-3", 2, 256, 40, 0.5),
            run(PARITY, "lstm", "3e-3", 1, 256, 40, 0.9),
            run(PARITY, "lstm", "3e-3", 2, 256, 40, 0.8),
            run(PARITY, "lstm", "3e-3", 3, 256, 40, 1.0));
    Row row = QualityResults.of(records).getFirst().rows().getFirst();
    assertEquals(2, row.rates());
    assertEquals(3, row.records().size());
    assertEquals(0.9, row.accuracy(40), 1e-12);
    assertEquals(0.9, row.median(40), 1e-12);
    assertEquals(1, row.solved(40));
    // Student's t with two degrees of freedom: 4.302653 · 0.1 / √3
    assertEquals(0.9 - 0.248414, row.low(40), 1e-5);
    assertEquals(1, row.high(40), "an accuracy is at most 1");
    assertEquals("LSTM", row.label());
    assertEquals("layer/lstm", row.spec());
  }

  @Test
  void theFrontHoldsWhatNothingBeatsInAccuracyAndState() {
    QualityResults results =
        QualityResults.of(
                List.of(
                    run("mqar", "tiled", "1e-3", 1, 64000, 64, 1.0),
                    run("mqar", "deltanet", "1e-3", 1, 36000, 64, 1.0),
                    run("mqar", "gla", "1e-3", 1, 36000, 64, 0.5),
                    run("mqar", "long_convolution", "1e-3", 1, -1, 64, 1.0),
                    run("mqar", "linear_transformer", "1e-3", 1, 33000, 64, 0.25)))
            .getFirst();
    assertEquals(
        List.of("linear_transformer", "deltanet"),
        results.front(Row::stateBytes).stream().map(Row::mixer).toList());
  }

  @Test
  void publishedDifferencesAreJudgedByTheRecords() {
    QualityRecord tiled = run("mqar", "tiled", "1e-3", 1, 1, 64, 1.0);
    QualityRecord deltanet = run("mqar", "deltanet", "1e-3", 1, 1, 64, 0.995);
    assertEquals(
        "shows",
        verdict(tiled, deltanet, run("mqar", "linear_transformer", "1e-3", 1, 1, 64, 0.3)));
    assertEquals(
        "does not show",
        verdict(tiled, deltanet, run("mqar", "linear_transformer", "1e-3", 1, 1, 64, 0.99)));
    assertEquals(
        "does not show",
        verdict(
            tiled,
            run("mqar", "deltanet", "1e-3", 1, 1, 64, 0.98),
            run("mqar", "linear_transformer", "1e-3", 1, 1, 64, 0.3)));
    assertEquals("not measured", verdict(tiled, deltanet));
  }

  @Test
  void negativeEigenvaluesAreAnotherMixerThanTheMechanismWithoutThem() {
    List<QualitySeparations.Verdict> verdicts =
        QualitySeparations.of(
            QualityResults.of(
                List.of(
                    run(PARITY, "deltanet+beta_max=2+conv=0", "1e-3", 1, 1, 40, 1.0),
                    run(PARITY, "deltanet", "1e-3", 1, 1, 40, 0.6))));
    assertEquals(2, verdicts.size());
    assertEquals("not measured", verdicts.getFirst().verdict(), "neither LSTM nor softmax");
    assertEquals("shows", verdicts.getLast().verdict(), verdicts.getLast().evidence());
  }

  private static String verdict(QualityRecord... records) {
    List<QualitySeparations.Verdict> verdicts =
        QualitySeparations.of(QualityResults.of(List.of(records)));
    assertEquals(1, verdicts.size());
    assertTrue(verdicts.getFirst().claim().contains("Zoology"));
    return verdicts.getFirst().verdict();
  }
}
