// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static dev.crossover.reports.answer.QualityRecords.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Kind;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

/// The synthetic study's times: linear_transformer is fastest, then longformer, reformer; tiled is
/// the exact baseline.
class LearnedPhasesTest {
  private static final List<ResultRecord> SWEEP = SyntheticStudy.records(1);
  private static final String WINDOW = "longformer:window=64";
  private static final List<QualityRecord> RUNS =
      List.of(
          run("mqar", "tiled", "3e-3", 1, 65536, 64, 0.97),
          run("mqar", "linear_transformer", "3e-3", 1, 33000, 64, 0.25),
          run("mqar", WINDOW, "3e-3", 1, 65536, 64, 0.92));

  private static PhaseDiagram diagram(List<QualityRecord> runs) {
    List<PhaseDiagram> diagrams = LearnedPhases.of(QualityResults.of(runs), SWEEP);
    assertEquals(1, diagrams.size());
    return diagrams.getFirst();
  }

  private static Cell cell(PhaseDiagram diagram, double accuracy, int n) {
    return diagram.row(1 - accuracy).stream().filter(c -> c.n() == n).findFirst().orElseThrow();
  }

  @Test
  void fastestThatReachesTheAccuracyThenExactThenNothing() {
    PhaseDiagram diagram = diagram(RUNS);
    Cell fast = cell(diagram, 0.9, 8192);
    assertEquals(Kind.FASTEST, fast.kind());
    assertEquals(WINDOW, best(fast));
    assertEquals(Kind.EXACT, cell(diagram, 0.95, 8192).kind());
    Cell none = cell(diagram, 0.99, 8192);
    assertEquals(Kind.NONE, none.kind());
    assertNull(none.best());
    assertEquals("none", PhaseText.answer(none));
  }

  @Test
  void whereExactAttentionFailsAMechanismNeedNotBeFaster() {
    List<QualityRecord> runs =
        List.of(
            run("mqar", "tiled", "3e-3", 1, 1, 64, 0.5), run("mqar", WINDOW, "3e-3", 1, 1, 64, 1));
    PhaseDiagram diagram = diagram(runs);
    for (int n : diagram.lengths()) {
      Cell cell = cell(diagram, 0.99, n);
      assertEquals(Kind.FASTEST, cell.kind(), "n = " + n);
      assertEquals(WINDOW, best(cell));
    }
  }

  @Test
  void seedsThatDisagreeDecideNothing() {
    List<QualityRecord> runs =
        List.of(
            run("mqar", "tiled", "3e-3", 1, 1, 64, 0.6),
            run("mqar", WINDOW, "3e-3", 1, 1, 64, 0.99),
            run("mqar", WINDOW, "3e-3", 2, 1, 64, 0.91));
    PhaseDiagram diagram = diagram(runs);
    Cell cell = cell(diagram, 0.9, 8192);
    assertEquals(Kind.PERHAPS, cell.kind());
    assertEquals(WINDOW, best(cell));
    assertEquals("undecided: none or " + WINDOW, PhaseText.answer(cell));
    String facts = String.join("\n", PhaseText.facts(diagram, cell));
    assertTrue(facts.contains("do not decide whether it is at the accuracy; tiled is not"), facts);
  }

  @Test
  void whereSeedsOfExactAttentionDisagreeAMechanismMustBeFasterForCertain() {
    List<QualityRecord> runs =
        List.of(
            run("mqar", "tiled", "3e-3", 1, 1, 64, 0.99),
            run("mqar", "tiled", "3e-3", 2, 1, 64, 0.91),
            run("mqar", WINDOW, "3e-3", 1, 1, 64, 0.95));
    PhaseDiagram diagram = diagram(runs);
    assertEquals(Kind.FASTEST, cell(diagram, 0.9, 8192).kind());
    Cell beyond = cell(diagram, 0.99, 8192);
    assertEquals(Kind.UNDECIDED, beyond.kind());
    assertNull(beyond.best());
    String facts = String.join("\n", PhaseText.facts(diagram, beyond));
    assertTrue(facts.contains("whether exact attention is at the accuracy"), facts);
  }

  /// The diagram and `advise --task` give the same answer wherever both can.
  @Test
  void adviceAgreesWithTheDiagram() {
    PhaseDiagram diagram = diagram(RUNS);
    int compared = 0;
    for (double accuracy : LearnedPhases.REQUIRED) {
      for (int n : diagram.lengths()) {
        Cell cell = cell(diagram, accuracy, n);
        Optional<String> use = advised(accuracy, n);
        switch (cell.kind()) {
          case FASTEST -> assertEquals(Optional.of(best(cell)), use, cell.toString());
          case EXACT -> assertEquals(Optional.of("tiled"), use, cell.toString());
          case NONE -> assertEquals(Optional.empty(), use, cell.toString());
          case TIE, UNDECIDED, MISSING -> compared--;
        }
        compared++;
      }
    }
    assertTrue(compared > 10, "cells compared: " + compared);
  }

  @Test
  void axisIsAccuracyAndItsLevelsRise() {
    PhaseDiagram diagram = diagram(RUNS);
    List<String> levels = diagram.downward().stream().map(diagram.face()::level).toList();
    assertEquals(List.of("99 %", "95 %", "90 %", "80 %", "70 %", "50 %"), levels);
    assertTrue(diagram.title().contains("causal"), diagram.title());
    assertTrue(diagram.how().contains("one seed"), diagram.how());
    String facts = String.join("\n", PhaseText.facts(diagram, cell(diagram, 0.9, 8192)));
    assertTrue(facts.contains("accuracy 92 %"), facts);
    String drawn = String.join("\n", PhaseText.of(diagram));
    assertTrue(drawn.contains("none"), drawn);
  }

  @Test
  void tasksOfWhichNothingWasTimedHaveNoDiagram() {
    List<QualityRecord> runs = List.of(run("mqar", "deltanet", "3e-3", 1, 1, 64, 1));
    assertEquals(List.of(), LearnedPhases.of(QualityResults.of(runs), SWEEP));
  }

  private static String best(Cell cell) {
    return assertPresent(cell).spec();
  }

  private static Frontier.Entry assertPresent(Cell cell) {
    assertNotNull(cell.best(), cell.toString());
    return Frontier.best(cell);
  }

  private static Optional<String> advised(double accuracy, int n) {
    Advice.Question question =
        new Advice.Question(
            n, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), true, 0.05);
    return QualityAdvice.of(RUNS, SWEEP, "mqar", accuracy, question, "here").use();
  }
}
