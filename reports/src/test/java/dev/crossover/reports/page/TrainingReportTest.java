// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Metrics;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Records;
import dev.crossover.reports.answer.Regressions;
import dev.crossover.reports.answer.Regressions.Verdict;
import dev.crossover.reports.answer.SyntheticStudy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Reports of the training study.
class TrainingReportTest {
  private static final long KEPT = 3 << 20;

  @TempDir Path folder;

  private static List<ResultRecord> records() {
    return SyntheticStudy.records(1).stream()
        .filter(r -> r.study() == Study.FORWARD && r.status() == Status.OK)
        .filter(r -> r.mask().equals("causal"))
        .map(r -> Records.withGradients(r, KEPT))
        .toList();
  }

  @Test
  void pageNamesTheStudyItsErrorsAndWhatIsKept() throws Exception {
    String page = Files.readString(Report.write(records(), folder, "crossover sweep"));
    assertTrue(page.contains("Training step, forward and backward pass, causal · captured"));
    assertTrue(page.contains("% gradient error"));
    assertFalse(page.contains("% error"), "every error is one of gradients");
    assertTrue(page.contains("∂q, ∂k and ∂v"));
    String[] charts = page.split("<figure class=\"chart\"", -1);
    assertEquals(1 + 7, charts.length, "those of a forward pass");
    String markdown = Files.readString(folder.resolve("report.md"));
    assertTrue(markdown.contains("| of ∂q |"), markdown);
    assertTrue(markdown.contains("| kept |"));
    assertFalse(markdown.contains("| tokens/s |"), "empty columns are left out");
  }

  @Test
  void csvHoldsTheThreeErrors() throws Exception {
    Report.write(records(), folder, "crossover sweep");
    try (Stream<Path> files = Files.list(folder.resolve("csv"))) {
      Path errors =
          files
              .filter(f -> f.toString().endsWith("training-causal-captured-error.csv"))
              .findFirst()
              .orElseThrow();
      List<String> lines = Files.readAllLines(errors);
      assertTrue(
          lines.getFirst().endsWith("grad_q_error,grad_k_error,grad_v_error"), lines.getFirst());
      String longformer =
          lines.stream().filter(line -> line.contains("longformer")).findFirst().orElseThrow();
      String[] cells = longformer.split(",", -1);
      double worst = Double.parseDouble(cells[cells.length - 1]);
      assertEquals(worst / 3, Double.parseDouble(cells[cells.length - 3]), 1e-3 * worst);
      assertEquals(worst / 1.5, Double.parseDouble(cells[cells.length - 2]), 1e-3 * worst);
    }
  }

  @Test
  void trainingIsAPanelOfItsOwnWithCrossoversOfItsOwn() {
    List<ResultRecord> all =
        Stream.concat(SyntheticStudy.records(1).stream(), records().stream()).toList();
    List<Panel> panels =
        Panel.of(all).stream().filter(p -> p.key().study() == Study.TRAINING).toList();
    assertEquals(1, panels.size());
    PanelAnswer answer = PanelAnswer.of(panels.getFirst());
    assertTrue(answer.series().stream().anyMatch(s -> s.time().containsKey("tiled")));
    assertTrue(
        answer.panel().series().stream()
            .flatMap(s -> s.points().stream())
            .allMatch(p -> p.countedBytes() >= KEPT && Metrics.of("kept_bytes").of(p) == KEPT));
  }

  /// More kept bytes and a larger error of gradients are regressions.
  @Test
  void compareSeesKeptBytes() {
    List<ResultRecord> more =
        records().stream().map(r -> Records.withGradients(r, 100 * KEPT)).toList();
    Regressions result = Regressions.of(records(), more, 0.05, 0.05);
    assertTrue(result.count(Verdict.REGRESSED) > 0);
    assertTrue(result.with(Verdict.REGRESSED).getFirst().label().contains("(training, causal"));
  }
}
