// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Entry;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import org.jspecify.annotations.Nullable;

/// A [PhaseDiagram] as text, and its cells in words.
public final class PhaseText {
  /// What the marks of a drawn cell mean.
  public static final String KEY =
      "Hatched: intervals do not decide between the two colours. * and a dashed edge: within the"
          + " error only where the setting was chosen, not on the part that had no say.";

  private PhaseText() {}

  /// The letter of a mechanism in the text form, by its place in the diagram: A to Z, AA, AB, …
  private static String letter(int index) {
    String last = Character.toString('A' + index % 26);
    return index < 26 ? last : letter(index / 26 - 1) + last;
  }

  /// The diagram for a console: a letter for each mechanism, its factor over exact attention.
  public static List<String> of(PhaseDiagram diagram) {
    List<String> lines = new ArrayList<>();
    lines.add(diagram.title() + " (" + diagram.panel().sizes() + ")");
    lines.add("Fastest within an error, and how many times faster than tiled. " + diagram.how());
    lines.add("");
    List<String> names = diagram.mechanisms();
    List<List<String>> rows = new ArrayList<>();
    List<String> head = new ArrayList<>(List.of("error"));
    diagram.lengths().forEach(n -> head.add("n=" + Wording.length(n)));
    for (double error : diagram.errors().reversed()) {
      List<String> row = new ArrayList<>(List.of(Wording.percent(error)));
      diagram.row(error).forEach(cell -> row.add(word(names, cell)));
      rows.add(row);
    }
    rows.add(head);
    int columns = head.size();
    int[] width = new int[columns];
    rows.forEach(
        row -> {
          for (int i = 0; i < columns; i++) {
            width[i] = Math.max(width[i], row.get(i).length());
          }
        });
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder(" ");
      for (int i = 0; i < columns; i++) {
        line.append(" ".repeat(width[i] - row.get(i).length() + (i == 0 ? 0 : 3)));
        line.append(row.get(i));
      }
      lines.add(line.toString());
    }
    lines.add("");
    for (int i = 0; i < names.size(); i++) {
      lines.add("  " + letter(i) + "  " + Labels.title(names.get(i)));
    }
    lines.add(
        "  * holds only where it was chosen; A/B intervals do not tell which is faster; ? they do"
            + " not tell whether it is faster than exact attention; – not measured");
    return lines;
  }

  private static String word(List<String> names, Cell cell) {
    return switch (cell.kind()) {
      case MISSING -> "–";
      case EXACT -> "exact";
      case UNDECIDED -> marked(cell, letter(names, Frontier.best(cell)), "?");
      case FASTEST -> marked(cell, letter(names, Frontier.best(cell)), "");
      case TIE -> {
        Entry rival = cell.runnerUp();
        String own = letter(names, Frontier.best(cell));
        yield marked(cell, rival == null ? own : own + "/" + letter(names, rival), "");
      }
    };
  }

  private static String letter(List<String> names, Entry entry) {
    return letter(names.indexOf(entry.mechanism()));
  }

  private static String marked(Cell cell, String letters, String doubt) {
    return letters
        + " "
        + factor(Frontier.best(cell))
        + "x"
        + doubt
        + (cell.onlyWhereChosen() ? "*" : "");
  }

  /// How many times faster, with two digits, three near 1: `3.4`, `1.04`.
  public static String factor(Entry entry) {
    double value = entry.speedUp().value();
    String format = value >= 9.95 ? "%.0f" : value >= 1.095 ? "%.1f" : "%.2f";
    return String.format(Locale.ROOT, format, value);
  }

  /// What a cell says beside its [#answer], in short lines: time, errors, runner-up.
  public static List<String> facts(PhaseDiagram diagram, Cell cell) {
    Frontier frontier = diagram.at(cell);
    double limit = cell.error();
    List<String> lines = new ArrayList<>();
    Entry best = cell.best();
    switch (cell.kind()) {
      case MISSING -> lines.add("exact attention was not timed here, or was not steady");
      case EXACT ->
          lines.add(
              "exact attention (tiled), "
                  + Wording.seconds(frontier.exactSeconds())
                  + ": nothing within the error is faster");
      case UNDECIDED, FASTEST, TIE -> {
        if (best != null) {
          lines.add(
              best.speedUp().words(1)
                  + " times faster than tiled: "
                  + Wording.seconds(best.seconds())
                  + " instead of "
                  + Wording.seconds(frontier.exactSeconds()));
          lines.add("error " + range(best.chosen(), limit) + " where it was chosen");
          lines.add(judged(best, limit));
        }
      }
    }
    if (cell.kind() == Frontier.Kind.UNDECIDED) {
      lines.add(
          "intervals do not decide whether it is faster than exact attention within the error");
    }
    Entry holding = cell.holding();
    if (cell.onlyWhereChosen()) {
      lines.add(
          holding == null
              ? "nothing faster than exact attention holds on both parts"
              : "fastest that holds on both parts: " + brief(holding, limit));
    }
    lines.add(runnerUp(cell));
    lines.add(frontier.tried() + " settings tried, " + frontier.entries().size() + " timed");
    return lines;
  }

  private static String judged(Entry entry, double limit) {
    Interval other = entry.other();
    if (other == null) {
      return "not judged on another part";
    }
    return "error "
        + range(other, limit)
        + " on the other part: "
        + (entry.onlyWhereChosen(limit) ? "holds only where it was chosen" : "holds there too");
  }

  private static String runnerUp(Cell cell) {
    Entry next = cell.runnerUp();
    if (next == null) {
      return cell.best() == null ? "nothing else within the error was timed" : "runner-up: tiled";
    }
    return (cell.kind() == Frontier.Kind.TIE
            ? "as fast as intervals tell: "
            : cell.kind() == Frontier.Kind.EXACT ? "nearest: " : "runner-up: ")
        + brief(next, cell.error());
  }

  private static String brief(Entry entry, double limit) {
    return entry.spec()
        + ", "
        + entry.speedUp().words(1)
        + " times, error "
        + Wording.percent(entry.chosen().error(), limit)
        + (entry.other() == null ? "" : " and " + Wording.percent(entry.other().error(), limit));
  }

  /// An error with its interval, on the right side of a permitted error when rounded.
  public static String range(@Nullable Interval interval, double limit) {
    if (interval == null) {
      return "–";
    }
    String error = Wording.percent(interval.error(), limit);
    String low = Wording.percent(interval.low(), limit);
    String high = Wording.percent(interval.high(), limit);
    return low.equals(high) ? error : error + " (" + low.replace(" %", "") + "–" + high + ")";
  }

  /// What a cell is called in a table: its setting, or exact attention.
  public static String answer(Cell cell) {
    Entry best = cell.best();
    return switch (cell.kind()) {
      case MISSING -> "not measured";
      case EXACT -> "exact attention";
      case UNDECIDED -> "undecided: exact attention or " + (best == null ? "" : best.spec());
      case FASTEST -> best == null ? "" : best.spec();
      case TIE ->
          (best == null ? "" : best.spec())
              + " or "
              + (cell.runnerUp() == null ? "" : cell.runnerUp().spec());
    };
  }
}
