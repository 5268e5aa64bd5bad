// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.reading.CausalGraph.Learned;
import dev.crossover.bench.reading.Explanations;
import dev.crossover.bench.reading.GraphReading;
import dev.crossover.bench.reading.GraphStudy.Entry;
import dev.crossover.bench.reading.GraphStudy.HeadRow;
import dev.crossover.bench.reading.Pag;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import dev.crossover.reports.study.ExplainReport.Explained;
import dev.crossover.reports.study.ExplainReport.Layers;
import dev.crossover.reports.study.ExplainReport.Part;
import dev.crossover.reports.study.ExplainReport.Wish;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.stream.IntStream;

/// Tables of an explanation: graphs, heads, sets that explain, rollout.
final class ExplainTables {
  private static final int MOST_INPUTS = 20;

  private ExplainTables() {}

  /// Graphs beside the first: edges that differ, tests, ranks, or why there is none.
  static Table graphs(Part part) {
    List<List<Cell>> rows = new ArrayList<>();
    for (Entry entry : part.entries()) {
      GraphReading reading = entry.reading();
      boolean there = reading.graph().isPresent();
      int edges = reading.graph().map(g -> g.graph().edges().size()).orElse(0);
      Pag.Difference d = entry.difference().orElse(new Pag.Difference(0, 0, 0));
      boolean compared = entry.difference().isPresent();
      int tests = reading.tests().stream().mapToInt(Integer::intValue).sum();
      rows.add(
          List.of(
              Cell.text(entry.spec()),
              number(edges, there),
              number(d.edges(), compared),
              number(d.missing(), compared),
              number(d.extra(), compared),
              number(d.marks(), compared),
              number(reading.rank(), true),
              number(tests, there),
              number(reading.graph().map(Learned::finishedOrder).orElse(0), there),
              Cell.text(remark(reading))));
    }
    return new Table(
        "graphs",
        List.of(
            new Column("attention", "attention", false),
            new Column("edges", "edges", true),
            new Column("differ", "edges_that_differ", true),
            new Column("lost", "edges_lost", true),
            new Column("new", "edges_new", true),
            new Column("marked otherwise", "edges_marked_otherwise", true),
            new Column("rank", "rank", true),
            new Column("tests", "tests", true),
            new Column("up to sets of", "finished_order", true),
            new Column("remark", "remark", false)),
        rows);
  }

  private static String remark(GraphReading reading) {
    List<String> remarks = new ArrayList<>();
    if (!reading.refusal().isEmpty()) {
      remarks.add(reading.refusal());
    }
    reading.graph().filter(g -> !g.complete()).ifPresent(g -> remarks.add(g.stop()));
    if (!reading.equalRows().isEmpty()) {
      remarks.add(reading.equalRows().size() + " pairs of tokens have equal rows");
    }
    return String.join("; ", remarks);
  }

  private static Cell number(int value, boolean there) {
    return there ? Cell.number(Integer.toString(value), value) : new Cell("–", "");
  }

  /// Statistics of all heads.
  static Table heads(Part part) {
    List<List<Cell>> rows = new ArrayList<>();
    for (HeadRow row : part.heads()) {
      boolean distribution = row.quality().distribution();
      rows.add(
          List.of(
              Cell.text(row.spec()),
              number(row.head(), true),
              value(distribution ? row.statistics().entropyExact() : Double.NaN),
              value(row.statistics().meanDistance()),
              value(row.statistics().toPrevious()),
              value(row.statistics().toSelf()),
              value(row.statistics().toNext()),
              value(row.statistics().toFirst()),
              Cell.text(row.statistics().name()),
              value(distribution ? row.totalVariation() : Double.NaN),
              value(row.quality().least()),
              value(row.quality().largest()),
              value(row.quality().negativeMass())));
    }
    return new Table(
        "heads",
        List.of(
            new Column("attention", "attention", false),
            new Column("head", "head", true),
            new Column("entropy, nats", "entropy_nats", true),
            new Column("mean distance", "mean_distance_tokens", true),
            new Column("to previous", "to_previous", true),
            new Column("to self", "to_self", true),
            new Column("to next", "to_next", true),
            new Column("to first", "to_first", true),
            new Column("called", "name", false),
            new Column("total variation", "total_variation", true),
            new Column("least row sum", "least_row_sum", true),
            new Column("largest row sum", "largest_row_sum", true),
            new Column("negative mass", "negative_mass", true)),
        rows);
  }

  private static Cell value(double value) {
    return Cell.number(Wording.digits(value), value);
  }

  /// Sets that explain the target.
  static Table explained(Wish wish, Part part) {
    List<List<Cell>> rows = new ArrayList<>();
    for (Explained explained : part.explained()) {
      List<String> sets = new ArrayList<>();
      for (Explanations.Found found : explained.byGraph().found()) {
        sets.add("{" + names(wish, found.tokens()) + "}");
      }
      rows.add(
          List.of(
              Cell.text(explained.spec()),
              Cell.text(names(wish, explained.byGraph().candidates())),
              Cell.text(sets.isEmpty() ? "none of up to 4 tokens" : String.join(" ", sets)),
              number(explained.byGraph().asked(), true),
              number(explained.asked().orElse(0), explained.asked().isPresent()),
              number(explained.byWeight().orElse(0), explained.byWeight().isPresent())));
    }
    return new Table(
        "explained",
        List.of(
            new Column("attention", "attention", false),
            new Column("tokens of any set", "candidates", false),
            new Column("smallest sets that explain", "sets", false),
            new Column("asked along the graph", "asked", true),
            new Column("asked of all sets", "asked_exhaustively", true),
            new Column("asked by weight", "asked_by_weight", true)),
        rows);
  }

  private static String names(Wish wish, List<Integer> tokens) {
    return String.join(", ", tokens.stream().map(wish.names()::get).toList());
  }

  /// Inputs with the largest rollout.
  static Table layers(Layers layers) {
    List<List<Cell>> rows = new ArrayList<>();
    List<Integer> order =
        IntStream.range(0, layers.rollout().length)
            .boxed()
            .sorted(Comparator.comparingDouble(j -> -layers.rollout()[j]))
            .limit(MOST_INPUTS)
            .toList();
    for (int input : order) {
      rows.add(
          List.of(
              number(input, true),
              share(layers.rollout()[input]),
              share(layers.withoutResidual()[input]),
              share(layers.uniform()[input]),
              share(layers.flow().map(flow -> flow[input]).orElse(Double.NaN))));
    }
    return new Table(
        "rollout",
        List.of(
            new Column("input", "input", true),
            new Column("rollout", "rollout", true),
            new Column("without residual", "rollout_without_residual", true),
            new Column("rollout of uniform weights", "rollout_uniform", true),
            new Column("flow", "flow", true)),
        rows);
  }

  private static Cell share(double value) {
    return Cell.number(String.format(Locale.ROOT, "%.4f", value), value);
  }
}
