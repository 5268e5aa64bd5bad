// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.reading.PathLengths;
import dev.crossover.bench.reading.PathRules;
import dev.crossover.bench.reading.PathTable;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

/// Path lengths as tables for the page and the documentation.
public final class PathsTable {
  /// Positions of the published tables.
  public static final int POSITIONS = 64;

  /// What [#known] reads.
  static final String RESOURCE = "path-lengths.json";

  private static final String LAYERS = "layers";
  private static final String MEAN = "mean_layers";
  private static final Cell NEVER = new Cell("never", "");
  private static final List<Column> COLUMNS =
      List.of(
          new Column("layer", "layer", false),
          new Column("causal", "causal", false),
          new Column("pairs", "pairs", true),
          new Column("layers", LAYERS, true),
          new Column("closed formula", "formula", false),
          new Column("mean", MEAN, true),
          new Column("never", "pairs_never", true),
          new Column("steps", "sequential_operations", false),
          new Column("work", "complexity", false),
          new Column("as published", "published_path", false));

  private PathsTable() {}

  /// The documentation: what is counted, then a table for each group of layers.
  public static String markdown(PathTable table) {
    StringBuilder out = new StringBuilder();
    out.append("# Path lengths and sequential operations\n\n");
    out.append(
        "How many layers until every output depends on every input (causal: on every input up to\n"
            + "its own position), counted by breadth-first search over layers at n = ");
    out.append(table.n());
    out.append(
        ". The pairs of a mechanism are found by\n"
            + "running it: one token's value is drawn, all others are zero, and the outputs that"
            + " change depend on it. All heads (two)\n"
            + "of a layer together, and the residual connection besides. Where pairs depend on the"
            + " data (top-k, MoBA, Reformer) they\n"
            + "belong to drawn queries and keys, the same in every layer; only the bound beside"
            + " them is a fact about the mechanism.\n"
            + "*Mean* is over inputs and outputs that differ and meet; *never* counts those that"
            + " never meet. A path says that there\n"
            + "is dependence, not how strong it is. *Steps* are the longest chain of positions"
            + " inside a layer that cannot run in\n"
            + "parallel: between an input j and an output i a recurrence takes i − j of them. Made"
            + " by `crossover explain --path-lengths`.\n");
    for (PathTable.Group group : PathTable.Group.values()) {
      out.append("\n## ").append(group.title()).append("\n\n");
      out.append(of(table, group).markdown());
    }
    return out.toString();
  }

  /// All rows by the keys of their columns, with their group.
  public static List<Map<String, @Nullable Object>> rows(PathTable table) {
    List<Map<String, @Nullable Object>> all = new ArrayList<>();
    for (PathTable.Group group : PathTable.Group.values()) {
      for (Map<String, @Nullable Object> row : of(table, group).values()) {
        Map<String, @Nullable Object> grouped = new LinkedHashMap<>();
        grouped.put("group", key(group));
        grouped.putAll(row);
        all.add(grouped);
      }
    }
    return all;
  }

  /// The rows of one group.
  static Table of(PathTable table, PathTable.Group group) {
    List<List<Cell>> rows = new ArrayList<>();
    for (PathTable.Row row : table.rows()) {
      if (row.group() == group) {
        rows.add(row(row));
      }
    }
    return new Table("paths-" + key(group), COLUMNS, rows);
  }

  /// The layers of the published table and those of some mechanisms, at n = [#POSITIONS]; read from
  /// what `crossover explain --path-lengths --json` printed, because counting takes seconds.
  ///
  /// @param mechanisms names of the mechanisms that are wanted
  /// @throws IOException if the resource cannot be read
  static Table known(Set<String> mechanisms) throws IOException {
    JsonNode known = new JsonMapper().readTree(Report.resource(RESOURCE));
    List<List<Cell>> rows = new ArrayList<>();
    for (JsonNode row : known.get("layers")) {
      String group = row.get("group").asString();
      String mechanism = row.get("layer").asString().split(":")[0];
      if (group.equals(key(PathTable.Group.PUBLISHED))
          || group.equals(key(PathTable.Group.MECHANISM)) && mechanisms.contains(mechanism)) {
        rows.add(COLUMNS.stream().map(column -> cell(row.get(column.key()), column)).toList());
      }
    }
    return new Table("paths", COLUMNS, rows);
  }

  private static Cell cell(@Nullable JsonNode value, Column column) {
    if (value == null || value.isNull()) {
      return column.key().equals(LAYERS) ? NEVER : Cell.text("");
    }
    if (!column.number()) {
      return Cell.text(value.asString());
    }
    double number = value.asDouble();
    return Cell.number(column.key().equals(MEAN) ? mean(number) : whole(number), number);
  }

  private static String key(PathTable.Group group) {
    return group.name().toLowerCase(Locale.ROOT);
  }

  private static String mean(double layers) {
    return String.format(Locale.ROOT, "%.3f", layers);
  }

  private static String whole(double number) {
    return String.format(Locale.ROOT, "%.0f", number);
  }

  private static List<Cell> row(PathTable.Row row) {
    PathLengths found = row.measured();
    return List.of(
        Cell.text(row.name()),
        Cell.text(row.causal() ? "yes" : "no"),
        Cell.number(whole(found.pairs()), found.pairs()),
        found.unreachable() ? NEVER : Cell.number(Integer.toString(found.layers()), found.layers()),
        Cell.text(row.formula().map(PathsTable::formula).orElse("–")),
        Cell.number(mean(found.mean()), found.mean()),
        Cell.number(Long.toString(found.never()), found.never()),
        Cell.text(row.sequential()),
        Cell.text(row.complexity()),
        Cell.text(row.published()));
  }

  private static String formula(PathRules.Formula formula) {
    String value = formula.layers() < 0 ? "never" : Integer.toString(formula.layers());
    return formula.text().startsWith(value) ? formula.text() : formula.text() + " = " + value;
  }
}
