// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;

class PhaseDiagramTest {
  private static final int N = 1024;
  private static final String MOBA = "moba:block_size=64,top_k=9";
  private static final String WINDOW = "longformer:window=64";

  private final RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
  private final List<ResultRecord> results = new ArrayList<>();
  private final List<FrontRecord> front = new ArrayList<>();

  private void time(String spec, double seconds, double noise, double ownError) {
    Approximates kind = spec.equals("tiled") ? Approximates.EXACT : Approximates.SOFTMAX;
    results.add(
        Records.point(
            Study.FORWARD, spec, kind, "causal", N, seconds, 1e6, ownError, 3, noise, random));
  }

  private void tuned(String spec, double seconds, double noise, double chosen, double other) {
    time(spec, seconds, noise, Double.NaN);
    front.add(FrontRecords.of(spec, N, chosen, other));
  }

  private PhaseDiagram diagram() {
    List<PhaseDiagram> all = PhaseDiagram.of(results, front);
    assertEquals(1, all.size());
    return all.getFirst();
  }

  private Cell cell(double error) {
    return diagram().row(error).getFirst();
  }

  @Test
  void theFastestWithinTheErrorWhereItWasChosenHasTheCell() {
    time("tiled", 1, 0.001, 1e-7);
    tuned(MOBA, 0.5, 0.001, 0.04, 0.03);
    tuned(WINDOW, 0.25, 0.001, 0.09, 0.06);
    assertTrue(diagram().tuned());
    assertEquals(List.of(0.05, 0.1), diagram().errors());
    Cell strict = cell(0.05);
    assertEquals(Kind.FASTEST, strict.kind());
    assertEquals(MOBA, Frontier.best(strict).spec());
    assertEquals(2, Frontier.best(strict).speedUp().value(), 0.02);
    assertFalse(strict.onlyWhereChosen());
    Cell loose = cell(0.1);
    assertEquals(WINDOW, Frontier.best(loose).spec());
    assertNotNull(loose.runnerUp());
    assertEquals(MOBA, loose.runnerUp().spec());
  }

  @Test
  void theOtherPartHasNoSayInTheChoiceButMarksIt() {
    time("tiled", 1, 0.001, 1e-7);
    tuned(MOBA, 0.5, 0.001, 0.04, 0.03);
    tuned(WINDOW, 0.25, 0.001, 0.04, 0.06);
    Cell cell = cell(0.05);
    assertEquals(WINDOW, Frontier.best(cell).spec());
    assertTrue(cell.onlyWhereChosen());
    assertNotNull(cell.holding());
    assertEquals(MOBA, cell.holding().spec());
    String text = String.join("\n", PhaseText.of(diagram()));
    assertTrue(text.matches("(?s).*5\\.0 % +A 4\\.0x\\*\n.*"), text);
    String facts = String.join("\n", PhaseText.facts(diagram(), cell));
    assertTrue(facts.contains("error 4.0 % where it was chosen"), facts);
    assertTrue(
        facts.contains("error 6.0 % on the other part: holds only where it was chosen"), facts);
    assertTrue(facts.contains("fastest that holds on both parts: " + MOBA), facts);
  }

  @Test
  void intervalsThatDoNotTellMechanismsApartMakeATie() {
    time("tiled", 1, 0.001, 1e-7);
    tuned(MOBA, 0.301, 0.1, 0.04, 0.03);
    tuned(WINDOW, 0.3, 0.1, 0.04, 0.03);
    Cell cell = cell(0.05);
    assertEquals(Kind.TIE, cell.kind());
    assertNotNull(cell.runnerUp());
    assertFalse(cell.runnerUp().mechanism().equals(Frontier.best(cell).mechanism()));
    String text = String.join("\n", PhaseText.of(diagram()));
    assertTrue(text.matches("(?s).* [AB]/[AB] [0-9.]+x.*"), text);
  }

  @Test
  void whereAnIntervalHoldsOneNothingIsDecided() {
    time("tiled", 1, 0.1, 1e-7);
    tuned(MOBA, 0.97, 0.1, 0.04, 0.03);
    assertEquals(Kind.UNDECIDED, cell(0.05).kind());
  }

  @Test
  void whereNothingIsFasterOrWithinTheErrorExactAttentionIsTheAnswer() {
    time("tiled", 1, 0.001, 1e-7);
    tuned(MOBA, 1.5, 0.001, 0.04, 0.03);
    tuned(WINDOW, 0.5, 0.001, 0.2, 0.03);
    Cell cell = cell(0.05);
    assertEquals(Kind.EXACT, cell.kind());
    assertNull(cell.best());
    assertNotNull(cell.runnerUp());
    assertEquals(MOBA, cell.runnerUp().spec());
    assertEquals("exact attention", PhaseText.answer(cell));
    assertEquals(List.of(), diagram().mechanisms());
  }

  @Test
  void errorsOfAnotherCommitAreNotThoseOfTheRecords() {
    time("tiled", 1, 0.001, 1e-7);
    time(MOBA, 0.5, 0.001, 0.15);
    front.add(FrontRecords.of(MOBA, N, null, 0.01, 0.01, List.of(0.01), null, "fedcba9"));
    PhaseDiagram diagram = diagram();
    assertFalse(diagram.tuned());
    assertEquals(PhaseDiagram.PERMITTED, diagram.errors());
    assertEquals(Kind.EXACT, cell(0.1).kind());
    Cell cell = cell(0.2);
    assertEquals(MOBA, Frontier.best(cell).spec());
    String facts = String.join("\n", PhaseText.facts(diagram, cell));
    assertTrue(facts.contains("not judged on another part"), facts);
    assertTrue(diagram.how().contains("error measured where it was chosen"), diagram.how());
  }

  @Test
  void withoutTheOptimisedBaselineOrAnApproximationThereIsNoDiagram() {
    time(MOBA, 0.5, 0.001, 0.15);
    assertEquals(List.of(), PhaseDiagram.of(results, front));
    results.clear();
    time("tiled", 1, 0.001, 1e-7);
    assertEquals(List.of(), PhaseDiagram.of(results, front));
  }

  @Test
  void whatWasNeverSteadyIsCountedAndLeftOut() {
    time("tiled", 1, 0.001, 1e-7);
    tuned(MOBA, 0.5, 0.001, 0.04, 0.03);
    tuned(WINDOW, 0.25, 0.001, 0.04, 0.03);
    assertFalse(diagram().how().contains("steady"), diagram().how());
    ResultRecord.Conditions unsteady =
        new ResultRecord.Conditions(null, null, "the compiler worked", null, null);
    results.set(2, Records.under(results.get(2), List.of(unsteady, unsteady, unsteady)));
    assertEquals(MOBA, Frontier.best(cell(0.05)).spec());
    assertTrue(
        diagram().how().endsWith("Left out, as never steady when timed: 1 point."),
        diagram().how());
  }

  @Test
  void factorsKeepTwoDigitsAndThreeNearOne() {
    time("tiled", 1, 0, 1e-7);
    tuned(MOBA, 1 / 1.04, 0, 0.04, 0.03);
    tuned(WINDOW, 1 / 12.3, 0, 0.09, 0.03);
    assertEquals("1.04", PhaseText.factor(Frontier.best(cell(0.05))));
    assertEquals("12", PhaseText.factor(Frontier.best(cell(0.1))));
  }
}
