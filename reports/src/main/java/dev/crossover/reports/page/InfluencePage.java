// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.quality.Influence;
import dev.crossover.bench.quality.Influence.Estimate;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.chart.InfluenceFigure;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Writes a study of influence: `influence.md`, `figures/` (PNG and PDF) and `csv/`.
public final class InfluencePage {
  private InfluencePage() {}

  /// Writes a study, existing files of the same names replaced.
  ///
  /// @param measured mixers that were measured, at least one
  /// @param refused mixers that were not, with their reasons
  /// @param folder where to write; created when absent
  /// @param command the command as a user would type it
  /// @param environment machine, JDK and commit
  /// @return the page
  /// @throws IOException if a file cannot be written
  public static Path write(
      List<Influence> measured,
      Map<String, String> refused,
      Path folder,
      String command,
      String environment)
      throws IOException {
    Path figures = Files.createDirectories(folder.resolve("figures"));
    Path csv = Files.createDirectories(folder.resolve("csv"));
    Figure figure = InfluenceFigure.of(measured, command + " · " + environment);
    figure.write(figures);
    Table table = table(measured);
    NamedFiles.write(csv.resolve("influence.csv"), table.csv());
    NamedFiles.write(csv.resolve("influence-points.csv"), points(measured).csv());
    StringBuilder text = new StringBuilder("# Influence of one symbol\n\nMade by ");
    text.append(Markdown.code(command)).append(".\n\n").append(Markdown.escape(environment));
    text.append(
        """
        .

        The first of n bits is flipped; the table says how far the logits after the last one move, in random models
        of two blocks (width 64, two heads, feed-forward 128, no positions), mean over words and model seeds. With
        bounded scores and Lipschitz layers that is O(1/n), a slope of −1 (Hahn, TACL 2020, Lemma 5; Chiang, Cholak,
        ACL 2022): such a model cannot stay sure of a parity as words grow, although its accuracy may stay perfect.
        Layer norms and a second block bend the slope at small n. A decay forgets exponentially, so that a power of n
        does not describe it; a window forgets entirely; a state that is never averaged keeps. Slopes are fitted to
        the lengths at which the change exceeds float32 rounding.

        ![Influence against length](figures/influence.png)

        """);
    text.append(table.markdown());
    if (!refused.isEmpty()) {
      text.append("\nNot measured:\n\n");
      refused.forEach(
          (mixer, reason) ->
              text.append("- ")
                  .append(Markdown.code(mixer))
                  .append(": ")
                  .append(Markdown.escape(reason))
                  .append('\n'));
    }
    Path page = folder.resolve("influence.md");
    NamedFiles.write(page, text.toString());
    return page;
  }

  /// Slope and ends of every mixer.
  private static Table table(List<Influence> measured) {
    List<Integer> lengths = measured.getFirst().lengths();
    int last = lengths.size() - 1;
    List<Column> columns =
        List.of(
            new Column("mixer", "mixer", false),
            new Column("n = " + Wording.length(lengths.getFirst()), "first", true),
            new Column("n = " + Wording.length(lengths.get(last)), "last", true),
            new Column("slope", "slope", true),
            new Column("from", "slope_low", true),
            new Column("to", "slope_high", true),
            new Column("", "note", false));
    List<List<Cell>> rows = new ArrayList<>();
    for (Influence one : measured) {
      Estimate slope = one.slope();
      rows.add(
          List.of(
              Cell.text(one.mixer()),
              small(one.at(0).mean()),
              small(one.at(last).mean()),
              two(slope.mean()),
              two(slope.low()),
              two(slope.high()),
              Cell.text(note(one))));
    }
    return new Table("influence", columns, rows);
  }

  private static String note(Influence one) {
    if (one.zeroFrom() > 0) {
      return "exactly zero from n = " + Wording.length(one.zeroFrom());
    }
    return one.roundingFrom() > 0
        ? "within float32 rounding from n = " + Wording.length(one.roundingFrom())
        : "";
  }

  private static Table points(List<Influence> measured) {
    List<Column> columns =
        List.of(
            new Column("mixer", "mixer", false),
            new Column("n", "n", true),
            new Column("influence", "influence", true),
            new Column("from", "influence_low", true),
            new Column("to", "influence_high", true));
    List<List<Cell>> rows = new ArrayList<>();
    for (Influence one : measured) {
      for (int i = 0; i < one.lengths().size(); i++) {
        Estimate estimate = one.at(i);
        rows.add(
            List.of(
                Cell.text(one.mixer()),
                Cell.number(Wording.length(one.lengths().get(i)), one.lengths().get(i)),
                small(estimate.mean()),
                small(estimate.low()),
                small(estimate.high())));
      }
    }
    return new Table("influence-points", columns, rows);
  }

  private static Cell small(double value) {
    return Cell.number(String.format(Locale.ROOT, "%.2g", value), value);
  }

  private static Cell two(double value) {
    return Cell.number(String.format(Locale.ROOT, "%.2f", value).replace('-', '−'), value);
  }
}
