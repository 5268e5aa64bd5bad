// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Entry;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/// A [PhaseDiagram] as text, and its cells in words.
public final class PhaseText {
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
    lines.add(diagram.face().headline() + " " + diagram.how());
    lines.add("");
    List<String> names = diagram.mechanisms();
    List<List<String>> rows = new ArrayList<>();
    List<String> head = new ArrayList<>(List.of(diagram.face().axis()));
    diagram.lengths().forEach(n -> head.add("n=" + Wording.length(n)));
    for (double error : diagram.downward()) {
      List<String> row = new ArrayList<>(List.of(diagram.face().level(error)));
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
      case NONE -> "none";
      case EXACT -> "exact";
      case UNDECIDED, PERHAPS ->
          cell.best() == null ? "?" : marked(cell, letter(names, Frontier.best(cell)), "?");
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
    PhaseFace face = diagram.face();
    Entry best = cell.best();
    switch (cell.kind()) {
      case MISSING -> lines.add("exact attention was not timed here, or was not steady");
      case EXACT ->
          lines.add(
              "exact attention (tiled), "
                  + Wording.seconds(frontier.exactSeconds())
                  + ": "
                  + face.nothing()
                  + " is faster");
      case NONE -> lines.add("nothing that was timed is " + face.within());
      case UNDECIDED, PERHAPS, FASTEST, TIE -> {
        if (best != null) {
          lines.add(
              best.speedUp().words(1)
                  + " times faster than tiled: "
                  + Wording.seconds(best.seconds())
                  + " instead of "
                  + Wording.seconds(frontier.exactSeconds()));
          String reached = face.axis() + " " + face.range(best.chosen(), limit);
          lines.add(face == PhaseFace.ERROR ? reached + " where it was chosen" : reached);
          if (face == PhaseFace.ERROR) {
            lines.add(judged(best, limit));
          }
        }
      }
    }
    if (cell.kind() == Frontier.Kind.PERHAPS) {
      lines.add("intervals do not decide whether it is " + face.within() + "; tiled is not");
    } else if (cell.kind() == Frontier.Kind.UNDECIDED && best == null) {
      lines.add("intervals do not decide whether exact attention is " + face.within());
    } else if (cell.kind() == Frontier.Kind.UNDECIDED) {
      lines.add(
          "intervals do not decide whether it is faster than exact attention " + face.within());
    }
    Entry holding = cell.holding();
    if (cell.onlyWhereChosen()) {
      lines.add(
          holding == null
              ? "nothing faster than exact attention holds on both parts"
              : "fastest that holds on both parts: " + brief(face, holding, limit));
    }
    if (cell.kind() != Frontier.Kind.NONE && cell.kind() != Frontier.Kind.PERHAPS) {
      lines.add(runnerUp(face, cell));
    }
    if (face == PhaseFace.ERROR) {
      lines.add(frontier.tried() + " settings tried, " + frontier.entries().size() + " timed");
    }
    return lines;
  }

  private static String judged(Entry entry, double limit) {
    Interval other = entry.other();
    if (other == null) {
      return "not judged on another part";
    }
    return "error "
        + PhaseFace.ERROR.range(other, limit)
        + " on the other part: "
        + (entry.onlyWhereChosen(limit) ? "holds only where it was chosen" : "holds there too");
  }

  private static String runnerUp(PhaseFace face, Cell cell) {
    Entry next = cell.runnerUp();
    if (next == null) {
      return cell.best() == null
          ? "nothing else " + face.within() + " was timed"
          : "runner-up: tiled";
    }
    return (cell.kind() == Frontier.Kind.TIE
            ? "as fast as intervals tell: "
            : cell.kind() == Frontier.Kind.EXACT ? "nearest: " : "runner-up: ")
        + brief(face, next, cell.error());
  }

  private static String brief(PhaseFace face, Entry entry, double limit) {
    return entry.spec()
        + ", "
        + entry.speedUp().words(1)
        + " times, "
        + face.axis()
        + " "
        + Wording.percent(face.shown(entry.chosen().error()), face.shown(limit))
        + (entry.other() == null ? "" : " and " + Wording.percent(entry.other().error(), limit));
  }

  /// What a cell is called in a table: its setting, or exact attention.
  public static String answer(Cell cell) {
    Entry best = cell.best();
    return switch (cell.kind()) {
      case MISSING -> "not measured";
      case NONE -> "none";
      case PERHAPS -> "undecided: none or " + (best == null ? "" : best.spec());
      case EXACT -> "exact attention";
      case UNDECIDED -> best == null ? "undecided" : "undecided: exact attention or " + best.spec();
      case FASTEST -> best == null ? "" : best.spec();
      case TIE ->
          (best == null ? "" : best.spec())
              + " or "
              + (cell.runnerUp() == null ? "" : cell.runnerUp().spec());
    };
  }
}
