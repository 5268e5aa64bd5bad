// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Regressions.Change;
import dev.crossover.reports.answer.Regressions.Verdict;
import java.util.List;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class RegressionsTest {
  private final RandomGenerator random = Curves.random(11);

  @Test
  void fileComparedWithItselfHasNoChange() {
    List<ResultRecord> records = SyntheticStudy.records(1);
    Regressions result = Regressions.of(records, records, 0.05, 0);
    assertEquals(records.size(), result.with(Verdict.UNCHANGED).size());
  }

  @Test
  void slowerPointRegressesAndFasterPointImproves() {
    Change slower = only(point(1e-3, 1e6, 0.1, 5, 0.01), point(1.3e-3, 1e6, 0.1, 5, 0.01));
    assertEquals(Verdict.REGRESSED, slower.verdict());
    assertTrue(slower.time().low() < 1.3 && slower.time().high() > 1.25, slower.toString());
    Change faster = only(point(1.3e-3, 1e6, 0.1, 5, 0.01), point(1e-3, 1e6, 0.1, 5, 0.01));
    assertEquals(Verdict.IMPROVED, faster.verdict());
    assertEquals(1 / 252.0, faster.p(), 1e-12, "one of C(10, 5) divisions");
  }

  @Test
  void changeBelowTheLeastEffectIsNone() {
    ResultRecord before = point(1e-3, 1e6, 0.1, 5, 0.001);
    ResultRecord after = point(1.03e-3, 1e6, 0.1, 5, 0.001);
    assertEquals(Verdict.UNCHANGED, only(before, after).verdict());
    Regressions fine = Regressions.of(List.of(before), List.of(after), 0.05, 0.01);
    assertEquals(1, fine.with(Verdict.REGRESSED).size());
  }

  @Test
  void fewForksCannotDecideAndSaySo() {
    Change two = only(point(1e-3, 1e6, 0.1, 2, 0.01), point(9e-3, 1e6, 0.1, 2, 0.01));
    assertEquals(Verdict.UNDECIDABLE, two.verdict());
    assertTrue(two.p() >= 1 / 6.0, two.toString());
    Change three = only(point(1e-3, 1e6, 0.1, 3, 0.01), point(9e-3, 1e6, 0.1, 3, 0.01));
    assertEquals(Verdict.REGRESSED, three.verdict());
    assertEquals(1 / 20.0, three.p(), 1e-12);
  }

  @Test
  void noiseAloneRegressesNoMoreOftenThanAlphaAllows() {
    int regressed = 0;
    int trials = 1000;
    for (int i = 0; i < trials; i++) {
      ResultRecord before = point(1e-3, 1e6, 0.1, 4, 0.2);
      ResultRecord after = point(1e-3, 1e6, 0.1, 4, 0.2);
      Regressions result = Regressions.of(List.of(before), List.of(after), 0.05, 0);
      regressed += result.with(Verdict.REGRESSED).size();
    }
    // an exact test at 3 of 70 divisions: 43 expected, standard deviation 6.4
    assertTrue(regressed <= 43 + 4 * 6.4, "regressed " + regressed);
    assertTrue(regressed >= 43 - 4 * 6.4, "regressed " + regressed);
  }

  @Test
  void memoryErrorAndStatusRegressWithoutTime() {
    ResultRecord before = point(1e-3, 1e6, 0.1, 5, 0);
    assertEquals(Verdict.REGRESSED, only(before, point(1e-3, 2e6, 0.1, 5, 0)).verdict());
    assertEquals(Verdict.REGRESSED, only(before, point(1e-3, 1e6, 0.2, 5, 0)).verdict());
    ResultRecord failed = Records.missing(before, Status.FAILED, "out of memory");
    assertEquals(Verdict.REGRESSED, only(before, failed).verdict());
    assertEquals(Verdict.IMPROVED, only(failed, before).verdict());
    assertEquals(Verdict.UNCHANGED, only(failed, failed).verdict());
  }

  @Test
  void pointThatIsUnsteadyOnEitherSideIsNotCompared() {
    ResultRecord steady = point(1e-3, 1e6, 0.1, 5, 0.01);
    ResultRecord slow = point(9e-3, 1e6, 0.1, 5, 0.01);
    Conditions calm = new Conditions(null, null);
    Conditions busy = new Conditions(null, null, "the compiler was still at work", null, null);
    ResultRecord unsteady = Records.under(slow, List.of(calm, calm, busy, calm, calm));
    Change change = only(steady, unsteady);
    assertEquals(Verdict.UNDECIDABLE, change.verdict());
    assertTrue(change.reason().contains("compiler was still at work"), change.reason());
    assertEquals(Verdict.UNDECIDABLE, only(unsteady, steady).verdict());
  }

  @Test
  void roundingErrorMayMove() {
    ResultRecord before = point(1e-3, 1e6, 1e-7, 5, 0);
    assertEquals(Verdict.UNCHANGED, only(before, point(1e-3, 1e6, 9e-7, 5, 0)).verdict());
  }

  @Test
  void pointsOfOneFileOnlyAreMissingOrNew() {
    ResultRecord record = point(1e-3, 1e6, 0.1, 3, 0);
    assertEquals(
        1, Regressions.of(List.of(record), List.of(), 0.05, 0).with(Verdict.MISSING).size());
    assertEquals(1, Regressions.of(List.of(), List.of(record), 0.05, 0).with(Verdict.ADDED).size());
  }

  @Test
  void alphaAndEffectOutOfRangeAreRefused() {
    List<ResultRecord> none = List.of();
    for (double alpha : new double[] {0, 1, Double.NaN}) {
      assertThrows(IllegalArgumentException.class, () -> Regressions.of(none, none, alpha, 0.05));
    }
    assertThrows(IllegalArgumentException.class, () -> Regressions.of(none, none, 0.05, -1));
  }

  private Change only(ResultRecord before, ResultRecord after) {
    List<Change> changes = Regressions.of(List.of(before), List.of(after), 0.05, 0.05).changes();
    assertEquals(1, changes.size());
    return changes.getFirst();
  }

  private ResultRecord point(double seconds, double bytes, double error, int forks, double noise) {
    return Records.point(
        Study.FORWARD,
        "longformer",
        Approximates.SOFTMAX,
        "causal",
        1024,
        seconds,
        bytes,
        error,
        forks,
        noise,
        random);
  }
}
