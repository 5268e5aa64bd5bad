// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.reports.answer.Frontier;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Entry;
import dev.crossover.reports.answer.HeadMixes;
import dev.crossover.reports.answer.PhaseDiagram;
import dev.crossover.reports.answer.PhaseFace;
import dev.crossover.reports.answer.PhaseText;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.Palette;
import dev.crossover.reports.chart.Palette.Look;
import dev.crossover.reports.chart.PhasePicture;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// A [PhaseDiagram] for a page, as Markdown, and as files: PNG, PDF and CSV.
public final class PhaseFiles {
  private PhaseFiles() {}

  /// Writes the files of a diagram and gives what the template wants.
  ///
  /// @param name name of the files without extension
  /// @param origin where it comes from, in small print
  /// @param heads what was found for each head
  /// @param files where they go
  static Map<String, Object> written(
      PhaseDiagram diagram, String name, String origin, HeadMixes heads, ReportFiles files)
      throws IOException {
    files.phase(name, () -> new PhasePicture(diagram, origin));
    Table table = table(diagram);
    files.csv(name, table);
    Table byHead = HeadTable.of(heads);
    if (!byHead.rows().isEmpty()) {
      files.csv(name + "-heads", byHead);
    }
    Map<String, Object> view = new LinkedHashMap<>(HeadTable.view(heads));
    view.put("name", name);
    view.put("title", diagram.title());
    view.put("titleMarkdown", Markdown.escape(diagram.title()));
    view.put("sizes", diagram.panel().sizes());
    view.put("how", diagram.how());
    view.put("howMarkdown", Markdown.escape(diagram.how()));
    view.put("key", diagram.face().key());
    view.put("headline", diagram.face().headline());
    view.put("axis", diagram.face().axis());
    view.put("origin", origin);
    view.put("lengths", diagram.lengths().stream().map(Wording::length).toList());
    view.put("columns", diagram.lengths().size());
    List<Map<String, Object>> rows = new ArrayList<>();
    for (double error : diagram.downward()) {
      List<Map<String, Object>> cells = new ArrayList<>();
      diagram.row(error).forEach(cell -> cells.add(view(diagram, cell)));
      rows.add(Map.of("error", diagram.face().level(error), "cells", cells));
    }
    view.put("rows", rows);
    view.put("legend", diagram.mechanisms().stream().map(PhaseFiles::legend).toList());
    view.put("table", HtmlTable.of(shown(table)));
    view.put("tableMarkdown", shown(table).markdown());
    return view;
  }

  private static Map<String, Object> legend(String mechanism) {
    Map<String, Object> view = new LinkedHashMap<>(colours(mechanism, null));
    view.put("mechanism", mechanism);
    return view;
  }

  private static Map<String, Object> view(PhaseDiagram diagram, Cell cell) {
    Entry best = cell.best();
    Entry rival = cell.kind() == Frontier.Kind.TIE ? cell.runnerUp() : null;
    Map<String, Object> view =
        new LinkedHashMap<>(
            best == null
                ? Map.of()
                : colours(best.mechanism(), rival == null ? null : rival.mechanism()));
    if (cell.kind() == Frontier.Kind.PERHAPS) {
      view.put("otherLight", "var(--ground)");
      view.put("otherDark", "var(--ground)");
    }
    List<String> facts = PhaseText.facts(diagram, cell);
    view.put("kind", cell.kind().name().toLowerCase(Locale.ROOT));
    view.put("only", cell.onlyWhereChosen());
    view.put("hasBest", best != null);
    view.put("mechanism", best == null ? "" : best.mechanism());
    view.put(
        "text",
        switch (cell.kind()) {
          case MISSING -> "–";
          case NONE -> "none";
          case EXACT -> "exact";
          case UNDECIDED, PERHAPS, FASTEST, TIE ->
              best == null
                  ? "?"
                  : PhaseText.factor(best) + "×" + (cell.onlyWhereChosen() ? "*" : "");
        });
    view.put(
        "head",
        "n = "
            + Wording.length(cell.n())
            + ", "
            + diagram.face().asked(cell.error())
            + ": "
            + PhaseText.answer(cell));
    view.put("facts", facts);
    view.put("spoken", String.join("; ", facts));
    return view;
  }

  /// The colours of a mechanism and, in a hatched cell, of its rival, in light and dark.
  private static Map<String, Object> colours(String mechanism, @Nullable String rival) {
    Look look = Palette.look(mechanism, 0);
    Map<String, Object> colours = new LinkedHashMap<>();
    colours.put("light", look.light());
    colours.put("dark", look.dark());
    colours.put("onLight", Palette.on(look.light()));
    colours.put("onDark", Palette.on(look.dark()));
    colours.put("marker", look.marker().name().toLowerCase(Locale.ROOT));
    Look other = rival == null ? null : Palette.look(rival, 0);
    colours.put("otherLight", other == null ? "var(--exact)" : other.light());
    colours.put("otherDark", other == null ? "var(--exact)" : other.dark());
    return colours;
  }

  /// A diagram in Markdown: its text form, a table of its cells and the settings of each head.
  ///
  /// @param heads what was found for each head
  public static String markdown(PhaseDiagram diagram, HeadMixes heads) {
    return "## "
        + Markdown.escape(diagram.title())
        + "\n\n```text\n"
        + String.join("\n", PhaseText.of(diagram)).replace("```", "'''")
        + "\n```\n\n"
        + shown(table(diagram)).markdown()
        + "\n"
        + "The front: none is both faster and more accurate where settings are chosen.\n\n"
        + front(diagram).markdown()
        + "\n"
        + HeadTable.markdown(heads);
  }

  private static Table shown(Table table) {
    return table.select(
        "phase",
        "n",
        "permitted_error",
        "required_accuracy",
        "answer",
        "times_faster",
        "times_faster_low",
        "times_faster_high",
        "seconds",
        "error_chosen",
        "error_other",
        "holds",
        "accuracy",
        "runner_up");
  }

  /// A row for each length and permitted error or required accuracy.
  static Table table(PhaseDiagram diagram) {
    PhaseFace face = diagram.face();
    boolean judged = face == PhaseFace.ERROR;
    List<Table.Column> columns =
        new ArrayList<>(
            List.of(
                column("n", "n", true),
                judged
                    ? column("permitted error", "permitted_error", true)
                    : column("required accuracy", "required_accuracy", true),
                column("answer", "answer", false),
                column("kind", "kind", false),
                column("mechanism", "mechanism", false),
                column("setting", "spec", false),
                column("times faster than tiled", "times_faster", true),
                column("from", "times_faster_low", true),
                column("to", "times_faster_high", true),
                column("time", "seconds", true),
                column("time of tiled", "tiled_seconds", true)));
    if (judged) {
      interval(columns, "error where chosen", "error_chosen");
      interval(columns, "error on the other part", "error_other");
      columns.add(column("holds on the other part", "holds", false));
      columns.add(column("fastest that holds on both", "holding", false));
    } else {
      interval(columns, "accuracy", "accuracy");
    }
    columns.add(column("runner-up", "runner_up", false));
    if (judged) {
      columns.add(column("settings tried", "tried", true));
      columns.add(column("settings timed", "timed", true));
    }
    List<List<Table.Cell>> rows = new ArrayList<>();
    for (double limit : diagram.downward()) {
      diagram.row(limit).forEach(cell -> rows.add(row(face, diagram.at(cell), cell)));
    }
    return new Table("phase", columns, rows);
  }

  private static void interval(List<Table.Column> columns, String title, String key) {
    columns.add(column(title, key, true));
    columns.add(column("from", key + "_low", true));
    columns.add(column("to", key + "_high", true));
  }

  private static List<Table.Cell> row(PhaseFace face, Frontier frontier, Cell cell) {
    boolean judged = face == PhaseFace.ERROR;
    double limit = cell.error();
    Entry best = cell.best();
    List<Table.Cell> row = new ArrayList<>();
    row.add(Table.Cell.number(Wording.length(cell.n()), cell.n()));
    row.add(Table.Cell.number(face.level(limit), face.shown(limit)));
    row.add(Table.Cell.text(PhaseText.answer(cell)));
    row.add(Table.Cell.text(cell.kind().name().toLowerCase(Locale.ROOT)));
    row.add(Table.Cell.text(best == null ? "" : best.mechanism()));
    row.add(Table.Cell.text(best == null ? "" : best.spec()));
    row.add(number(best == null ? Double.NaN : best.speedUp().value()));
    row.add(number(best == null ? Double.NaN : best.speedUp().low()));
    row.add(number(best == null ? Double.NaN : best.speedUp().high()));
    double seconds = best == null ? Double.NaN : best.seconds();
    row.add(Table.Cell.number(Wording.seconds(seconds), seconds));
    row.add(Table.Cell.number(Wording.seconds(frontier.exactSeconds()), frontier.exactSeconds()));
    interval(face, row, best == null ? null : best.chosen(), limit);
    if (judged) {
      interval(face, row, best == null ? null : best.other(), limit);
      row.add(
          Table.Cell.text(
              best == null || best.other() == null
                  ? ""
                  : best.onlyWhereChosen(limit) ? "only where chosen" : "yes"));
      row.add(Table.Cell.text(cell.holding() == null ? "" : cell.holding().spec()));
    }
    row.add(Table.Cell.text(cell.runnerUp() == null ? "" : cell.runnerUp().spec()));
    if (judged) {
      int timed = frontier.entries().size();
      row.add(Table.Cell.number(Wording.whole(frontier.tried()), frontier.tried()));
      row.add(Table.Cell.number(Wording.whole(timed), timed));
    }
    return row;
  }

  private static void interval(
      PhaseFace face, List<Table.Cell> row, @Nullable Interval interval, double limit) {
    Interval is = interval == null ? new Interval(Double.NaN, Double.NaN, Double.NaN) : interval;
    Interval shown = face.shown(is);
    row.add(Table.Cell.number(face.range(is, limit), shown.error()));
    row.add(Table.Cell.number(Wording.percent(shown.low(), face.shown(limit)), shown.low()));
    row.add(Table.Cell.number(Wording.percent(shown.high(), face.shown(limit)), shown.high()));
  }

  private static Table front(PhaseDiagram diagram) {
    List<Table.Column> columns =
        List.of(
            column("n", "n", true),
            column("setting", "spec", false),
            column("times faster than tiled", "times_faster", false),
            column("time", "seconds", true),
            column("error where chosen", "error_chosen", true),
            column("error on the other part", "error_other", true));
    List<List<Table.Cell>> rows = new ArrayList<>();
    for (Frontier frontier : diagram.frontiers()) {
      for (Entry entry : frontier.front()) {
        Interval other = entry.other();
        rows.add(
            List.of(
                Table.Cell.number(Wording.length(frontier.n()), frontier.n()),
                Table.Cell.text(entry.spec()),
                Table.Cell.text(entry.speedUp().words(1)),
                Table.Cell.number(Wording.seconds(entry.seconds()), entry.seconds()),
                Table.Cell.number(
                    PhaseFace.ERROR.range(entry.chosen(), Double.NaN), entry.chosen().error()),
                Table.Cell.number(
                    PhaseFace.ERROR.range(other, Double.NaN),
                    other == null ? Double.NaN : other.error())));
      }
    }
    return new Table("front", columns, rows);
  }

  private static Table.Cell number(double value) {
    return Table.Cell.number(Wording.digits(value, 1), value);
  }

  private static Table.Column column(String title, String key, boolean number) {
    return new Table.Column(title, key, number);
  }
}
