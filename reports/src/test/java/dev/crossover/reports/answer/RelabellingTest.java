// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.answer.Simulation.Comparison;
import dev.crossover.reports.answer.Simulation.Setting;
import java.util.List;
import org.junit.jupiter.api.Test;

class RelabellingTest {
  /// With one point the p is that of the plain permutation test: of the C(6, 3) = 20 divisions only
  /// the true one has a difference as large.
  @Test
  void onePointHasThePOfAllDivisions() {
    Relabelling result = Relabelling.of(List.of(values(1, 2, 3)), List.of(values(11, 12.5, 13)));
    assertEquals(1 / 20.0, result.slower(0), 1e-12);
    assertEquals(1, result.faster(0), 1e-12);
    assertEquals(1 / 20.0, result.smallest(), 1e-12);
  }

  @Test
  void sidesMirrorEachOther() {
    List<double[]> before = List.of(values(1, 2, 3, 2.5), values(5, 6, 4, 5.5));
    List<double[]> after = List.of(values(2, 3, 4.5, 2.2), values(5, 4, 4.2, 5.1));
    Relabelling there = Relabelling.of(before, after);
    Relabelling back = Relabelling.of(after, before);
    for (int i = 0; i < 2; i++) {
      assertEquals(there.slower(i), back.faster(i), 1e-12);
    }
  }

  @Test
  void pointComparedWithItselfIsNeverDifferent() {
    List<double[]> same = List.of(values(1, 2, 3, 4), values(4, 2, 2, 5));
    Relabelling result = Relabelling.of(same, same);
    assertTrue(result.slower(0) > 0.3 && result.faster(1) > 0.3);
  }

  /// More points that did not change can only raise the p of one that did.
  @Test
  void morePointsNeedMoreEvidence() {
    double[] before = values(1, 1.4, 1.1, 0.9);
    double[] after = values(1.6, 1.5, 1.3, 1.9);
    double alone = Relabelling.of(List.of(before), List.of(after)).slower(0);
    double[] noise = values(3, 3.3, 2.6, 3.1);
    double[] other = values(3.2, 2.9, 3.4, 2.8);
    double among =
        Relabelling.of(List.of(before, noise, other), List.of(after, other, noise)).slower(0);
    assertTrue(among >= alone, among + " against " + alone);
  }

  @Test
  void pointsMayHaveFewerRounds() {
    Relabelling result =
        Relabelling.of(
            List.of(values(1, 1.1, 0.9, 1.05), values(1, 1.1)),
            List.of(values(2, 2.1, 1.9, 2.05), values(1.05, 1)));
    assertEquals(1 / 70.0, result.slower(0), 1e-12);
    assertTrue(result.slower(1) > 0.2, "" + result.slower(1));
  }

  /// Nothing changed among 30 points at 5 % spread: any false alarm in at most 5 % of pairs. Of 200
  /// pairs at most 10 are expected; 4 standard deviations more are 22.
  @Test
  void anyFalseAlarmAmongAllPointsIsRareAndATrueChangeIsFound() {
    Comparison comparison = Comparison.of(new Setting(0.05, 5, 0.75, false), 200);
    assertTrue(comparison.falseAlarms() <= 0.11, "" + comparison);
    assertTrue(comparison.found() >= 0.9, "" + comparison);
  }

  private static double[] values(double... values) {
    return values;
  }
}
