// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.reports.answer.Simulation.Comparison;
import dev.crossover.reports.answer.Simulation.Interval;
import dev.crossover.reports.answer.Simulation.Setting;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// Simulates how often intervals hold the truth and puts the tables into a document.
///
/// `mvn -Pcoverage` runs it; the same seeds give the same tables on every machine.
public final class Coverage {
  /// The line before the tables.
  static final String START = "<!-- coverage: written by mvn -Pcoverage -->";

  /// The line after them.
  static final String END = "<!-- end of coverage -->";

  private static final double[] SPREADS = {0.01, 0.03, 0.1};
  private static final int[] FORKS = {3, 4, 5, 10};
  private static final double[] SHARED = {0, 0.5, 0.9};
  private static final int TRIALS = 3000;
  private static final double[] COMPARED = {0.02, 0.05, 0.1};
  private static final int[] COMPARED_FORKS = {4, 5, 6};
  private static final int PAIRS = 400;

  private Coverage() {}

  /// Writes the tables between the two marks of a document, and to the console.
  ///
  /// @param arguments the document
  public static void main(String[] arguments) throws IOException {
    Path document = Path.of(arguments[0]);
    String text = Files.readString(document);
    String tables = intervals() + "\n" + comparisons();
    int start = text.indexOf(START) + START.length();
    int end = text.indexOf(END);
    if (text.indexOf(START) < 0 || end < start) {
      throw new IllegalArgumentException("document must hold both marks, but was " + document);
    }
    Files.writeString(
        document, text.substring(0, start) + "\n\n" + tables + "\n" + text.substring(end));
    System.out.println(tables);
  }

  /// Least coverage over spreads and shared variances, by number of forks.
  private static String intervals() {
    StringBuilder text =
        new StringBuilder(
            "| 95 % interval of | 3 forks | 4 | 5 | 10 | one fork 30 % slower | all settings |\n"
                + "|---|---|---|---|---|---|---|\n");
    for (Interval interval : Interval.values()) {
      List<String> cells = new ArrayList<>();
      double sum = 0;
      int settings = 0;
      for (int forks : FORKS) {
        double least = 1;
        for (double spread : SPREADS) {
          for (double shared : SHARED) {
            double held =
                Simulation.coverage(interval, new Setting(spread, forks, shared, false), TRIALS);
            least = Math.min(least, held);
            sum += held;
            settings++;
          }
        }
        cells.add(cell(least));
      }
      double least = 1;
      for (int forks : FORKS) {
        for (double shared : SHARED) {
          least =
              Math.min(
                  least,
                  Simulation.coverage(interval, new Setting(0.03, forks, shared, true), TRIALS));
        }
      }
      cells.add(cell(least));
      cells.add(cell(sum / settings));
      text.append("| ").append(interval.words()).append(" | ");
      text.append(String.join(" | ", cells)).append(" |\n");
    }
    return text.toString();
  }

  private static String comparisons() {
    StringBuilder text =
        new StringBuilder(
            "| `compare`, 30 points | spread 2 % | 5 % | 10 % |\n" + "|---|---|---|---|\n");
    for (int forks : COMPARED_FORKS) {
      List<String> alarms = new ArrayList<>();
      List<String> found = new ArrayList<>();
      for (double spread : COMPARED) {
        Comparison comparison = Comparison.of(new Setting(spread, forks, 0.75, false), PAIRS);
        alarms.add(percent(comparison.falseAlarms()));
        found.add(percent(comparison.found()));
      }
      String label = "| " + forks + " forks a side, ";
      text.append(label).append("nothing changed: any point called slower | ");
      text.append(String.join(" | ", alarms)).append(" |\n");
      text.append(label).append("one point 20 % slower: found | ");
      text.append(String.join(" | ", found)).append(" |\n");
    }
    return text.toString();
  }

  private static String cell(double share) {
    return String.format(Locale.ROOT, "%.3f", share);
  }

  private static String percent(double share) {
    return String.format(Locale.ROOT, "%.1f %%", 100 * share);
  }
}
