// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Advice;
import dev.crossover.reports.answer.Headlines;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Records;
import dev.crossover.reports.answer.SyntheticStudy;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Predicate;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A point whose forks never became steady is drawn hollow and answers nothing.
class UnsteadyTest {
  private static final String REASON = "its code was still being compiled after 10.0 s";
  private static final Predicate<ResultRecord> ONE =
      r ->
          r.spec().equals("longformer:window=64")
              && r.shape().n() == 2048
              && r.mask().equals("causal")
              && r.study() == Study.FORWARD;

  @TempDir Path folder;

  @Test
  void answersAreThoseOfAStudyWithoutThePoint() {
    List<ResultRecord> without = new ArrayList<>(unsteady());
    without.removeIf(ONE);
    Panel panel = panel(unsteady());
    assertEquals(1, panel.unsteady().size());
    assertEquals("1 of 3 forks: " + REASON, panel.unsteady().getFirst().unsteadiness());
    assertEquals(panel(without).series(), panel.series());
    assertEquals(Headlines.of(PanelAnswer.of(panel(without))), Headlines.of(PanelAnswer.of(panel)));
  }

  @Test
  void adviceDoesNotRestOnIt() {
    Advice.Question question =
        new Advice.Question(
            2048, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), true, 0.1);
    Advice before = Advice.of(SyntheticStudy.records(1), question, "any", Optional.empty());
    assertTrue(before.eligible().stream().anyMatch(c -> c.spec().equals("longformer:window=64")));
    Advice after = Advice.of(unsteady(), question, "any", Optional.empty());
    assertFalse(after.eligible().stream().anyMatch(c -> c.spec().equals("longformer:window=64")));
  }

  @Test
  void pageListsItDrawsItHollowAndSaysSo() throws Exception {
    Path page = Report.write(unsteady(), folder, "crossover sweep");
    String html = Files.readString(page);
    String markdown = Files.readString(folder.resolve("report.md"));
    assertTrue(markdown.contains("| unsteady | 1 of 3 forks: " + REASON), "listed with its reason");
    assertTrue(markdown.contains("1 point was not steady when measured"));
    assertTrue(html.contains("\"unsteady\":[{\"spec\":\"longformer:window=64\""));
    try (Stream<Path> files = Files.list(folder.resolve("csv"))) {
      for (Path csv :
          files.filter(f -> f.toString().endsWith("causal-captured-time.csv")).toList()) {
        assertFalse(Files.readString(csv).contains("longformer:window=64,2048,"));
      }
    }
  }

  /// The resident set of a process that measured other lengths too is that of all of them.
  @Test
  void residentSetIsShownOnlyOfPointsMeasuredAlone() throws Exception {
    Report.write(conditioned(SyntheticStudy.records(1), 3, null), folder.resolve("shared"), "x");
    Report.write(conditioned(SyntheticStudy.records(1), 1, null), folder.resolve("alone"), "x");
    assertEquals(0, figures(folder.resolve("shared"), "-resident.png"));
    assertTrue(figures(folder.resolve("alone"), "-resident.png") > 0);
  }

  @Test
  void disturbedPeakLeavesNoShare() throws Exception {
    PeakRange moved = new PeakRange(100, 110, 120);
    Report.write(conditioned(SyntheticStudy.records(1), 1, moved), folder, "x");
    String markdown = Files.readString(folder.resolve("report.md"));
    assertTrue(markdown.contains("disturbed: the peak moved by 20 %"), "told in the table");
    assertTrue(markdown.contains("no share of it is shown there"), "told among the doubts");
  }

  private static int figures(Path report, String ending) throws Exception {
    try (Stream<Path> files = Files.list(report.resolve("figures"))) {
      return (int) files.filter(f -> f.toString().endsWith(ending)).count();
    }
  }

  private static Panel panel(List<ResultRecord> records) {
    return Panel.of(records).stream()
        .filter(p -> p.key().mask().equals("causal") && !p.decoding())
        .findFirst()
        .orElseThrow();
  }

  private static List<ResultRecord> unsteady() {
    List<ResultRecord> records = new ArrayList<>();
    for (ResultRecord record : SyntheticStudy.records(1)) {
      List<Conditions> conditions =
          new ArrayList<>(Collections.nCopies(record.forks(), new Conditions(1.0, null)));
      if (ONE.test(record)) {
        conditions.set(0, new Conditions(1.0, null, REASON, 6, null));
      }
      records.add(record.time() == null ? record : Records.under(record, conditions));
    }
    return records;
  }

  private static List<ResultRecord> conditioned(
      List<ResultRecord> records, int lengths, PeakRange peak) {
    return records.stream()
        .map(
            record ->
                record.time() == null
                    ? record
                    : Records.under(
                        record,
                        Collections.nCopies(
                            record.forks(), new Conditions(1.0, null, null, lengths, peak))))
        .toList();
  }
}
