// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.reports.answer.HeadMixes;
import dev.crossover.reports.answer.PhaseFace;
import dev.crossover.reports.answer.Ratio;
import dev.crossover.reports.answer.Wording;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// The settings of each head of the mixes that `crossover tune --per-head` found.
final class HeadTable {
  private HeadTable() {}

  static Table of(HeadMixes mixes) {
    List<Table.Column> columns =
        List.of(
            new Table.Column("n", "n", true),
            new Table.Column("permitted error", "permitted_error", true),
            new Table.Column("head", "head", true),
            new Table.Column("entropy in nats", "entropy", true),
            new Table.Column("like so many equal keys", "equal_keys", true),
            new Table.Column("setting", "spec", false),
            new Table.Column("error of the head", "error", true),
            new Table.Column("whole mix, times faster than tiled", "times_faster", true));
    List<List<Table.Cell>> rows = new ArrayList<>();
    for (HeadMixes.Row row : mixes.rows()) {
      double keys = Math.exp(row.entropy());
      rows.add(
          List.of(
              Table.Cell.number(Wording.length(row.n()), row.n()),
              Table.Cell.number(PhaseFace.ERROR.level(row.error()), row.error()),
              Table.Cell.number(Wording.whole(row.head()), row.head()),
              Table.Cell.number(Wording.digits(row.entropy()), row.entropy()),
              Table.Cell.number(Wording.digits(keys), keys),
              Table.Cell.text(row.setting()),
              Table.Cell.number(Wording.percent(row.headError(), row.error()), row.headError()),
              Table.Cell.number(
                  row.speedUp().map(r -> r.words(1)).orElse(""),
                  row.speedUp().map(Ratio::value).orElse(Double.NaN))));
    }
    return new Table("heads", columns, rows);
  }

  /// What the templates want.
  static Map<String, Object> view(HeadMixes mixes) {
    Table table = of(mixes);
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("hasHeadLines", !mixes.lines().isEmpty());
    view.put("headLines", mixes.lines());
    view.put("headLinesMarkdown", mixes.lines().stream().map(Markdown::escape).toList());
    view.put("hasHeads", !table.rows().isEmpty());
    view.put("heads", HtmlTable.of(table));
    view.put("headsMarkdown", table.rows().isEmpty() ? "" : table.markdown());
    return view;
  }

  /// The same in Markdown; empty where settings were not sought by head.
  static String markdown(HeadMixes mixes) {
    if (mixes.lines().isEmpty()) {
      return "";
    }
    StringBuilder text = new StringBuilder("Settings by head.");
    mixes.lines().forEach(line -> text.append(' ').append(Markdown.escape(line)));
    text.append("\n\n");
    Table table = of(mixes);
    if (!table.rows().isEmpty()) {
      text.append(table.markdown()).append('\n');
    }
    return text.toString();
  }
}
