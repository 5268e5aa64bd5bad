// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.answer.Simulation.Interval;
import dev.crossover.reports.answer.Simulation.Setting;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/// A short version of what `mvn -Pcoverage` simulates, and its tables in the documentation.
class CoverageTest {
  private static final int TRIALS = 1200;

  /// The standard error of a coverage of 0.95 is 0.0063 in 1,200 trials, so that 0.93 is three of
  /// them away.
  @ParameterizedTest
  @EnumSource
  void intervalsHoldTheTruthAsOftenAsTheySay(Interval interval) {
    Setting[] settings = {
      new Setting(0.05, 3, 0, false),
      new Setting(0.1, 4, 0.9, false),
      new Setting(0.01, 10, 0.5, false),
      new Setting(0.03, 5, 0.5, true)
    };
    for (Setting setting : settings) {
      double held = Simulation.coverage(interval, setting, TRIALS);
      assertTrue(held >= 0.93, interval.words() + " at " + setting + ": " + held);
    }
  }

  /// An interval that always holds would be useless: nothing shared and no outlier, so that the
  /// nominal coverage is exact for Student's t and nearly so for Welch's.
  @ParameterizedTest
  @EnumSource(names = {"TIME", "RATIO", "BETWEEN", "EXPONENT", "SEEDS"})
  void intervalsAreNoWiderThanTheyNeedToBe(Interval interval) {
    double held = Simulation.coverage(interval, new Setting(0.05, 5, 0, false), TRIALS);
    assertTrue(held <= 0.975, interval.words() + ": " + held);
  }

  @Test
  void documentationHoldsATableWithoutACoverageBelowTheBound() throws IOException {
    String text = Files.readString(Path.of("../docs/report.md"));
    int start = text.indexOf(Coverage.START);
    String tables = text.substring(start, text.indexOf(Coverage.END, start));
    for (Interval interval : Interval.values()) {
      String row =
          tables
              .lines()
              .filter(line -> line.startsWith("| " + interval.words() + " |"))
              .findFirst()
              .orElseThrow(() -> new AssertionError("no row: " + interval.words()));
      String[] cells = row.substring(2).split(" \\| | \\|");
      assertEquals(7, cells.length, row);
      for (int i = 1; i < cells.length; i++) {
        assertTrue(Double.parseDouble(cells[i]) >= 0.93, row);
      }
    }
  }
}
