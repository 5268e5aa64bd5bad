// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.reading.CausalGraph.Learned;
import dev.crossover.bench.reading.Explanations;
import dev.crossover.bench.reading.GraphReading;
import dev.crossover.bench.reading.GraphStudy.Entry;
import dev.crossover.bench.reading.GraphStudy.HeadRow;
import dev.crossover.bench.reading.Mark;
import dev.crossover.bench.reading.Pag;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.reports.study.ExplainReport;
import dev.crossover.reports.study.ExplainReport.Explained;
import dev.crossover.reports.study.ExplainReport.Part;
import dev.crossover.reports.study.ExplainReport.Wish;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// Causal graphs for other programs: JSON, and the language of Graphviz.
final class GraphFiles {
  private GraphFiles() {}

  /// A graph for `dot` or `circo`, marks as arrowheads: `normal`, `odot` (circle) or `none` (tail).
  static String graphviz(String title, List<String> names, Pag graph) {
    StringBuilder out = new StringBuilder("digraph {\n");
    out.append("  graph [layout=circo, label=").append(quoted(title)).append("];\n");
    out.append("  node [shape=circle, fontname=\"Open Sans\"];\n  edge [dir=both];\n");
    for (int i = 0; i < names.size(); i++) {
      out.append("  ").append(i).append(" [label=").append(quoted(names.get(i))).append("];\n");
    }
    for (Pag.Edge edge : graph.edges()) {
      out.append("  ")
          .append(edge.a())
          .append(" -> ")
          .append(edge.b())
          .append(" [arrowtail=")
          .append(head(edge.atA()))
          .append(", arrowhead=")
          .append(head(edge.atB()))
          .append("];\n");
    }
    return out.append("}\n").toString();
  }

  private static String head(Mark mark) {
    return switch (mark) {
      case ARROW -> "normal";
      case CIRCLE -> "odot";
      case TAIL, NONE -> "none";
    };
  }

  private static String quoted(String text) {
    String safe = text.replaceAll("\\p{Cntrl}", " ").replace("\\", "\\\\").replace("\"", "\\\"");
    return '"' + safe + '"';
  }

  /// Everything that was read, as one JSON object.
  static String json(ExplainReport report, String command) {
    Wish wish = report.wish();
    Map<String, Object> all = new LinkedHashMap<>();
    all.put("command", command);
    all.put("source", report.source());
    all.put("head", wish.head());
    List<Map<String, Object>> tokens = new ArrayList<>();
    for (int i = 0; i < wish.nodes().size(); i++) {
      Map<String, Object> token = new LinkedHashMap<>();
      token.put("position", wish.nodes().get(i));
      token.put("token", wish.names().get(i));
      tokens.add(token);
    }
    all.put("tokens", tokens);
    all.put("samples", wish.settings().samples());
    all.put("significance", wish.settings().significance());
    all.put("least_correlation", wish.settings().threshold());
    all.put("learner", lower(wish.settings().options().learner().name()));
    all.put("rule10", wish.settings().options().publishedRule10() ? "published" : "code");
    all.put("parts", report.parts().stream().map(part -> part(wish, part)).toList());
    report
        .layers()
        .ifPresent(
            layers -> {
              Map<String, Object> view = new LinkedHashMap<>();
              view.put("query", layers.query());
              view.put("rollout", layers.rollout());
              view.put("rollout_without_residual", layers.withoutResidual());
              view.put("rollout_of_uniform_weights", layers.uniform());
              layers.flow().ifPresent(flow -> view.put("flow", flow));
              all.put("layers", view);
            });
    return RecordJson.write(all) + "\n";
  }

  private static Map<String, Object> part(Wish wish, Part part) {
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("title", part.title());
    view.put("graphs", part.entries().stream().map(entry -> entry(wish, entry)).toList());
    view.put("left_out", part.left());
    view.put("heads", part.heads().stream().map(GraphFiles::head).toList());
    view.put("explained", part.explained().stream().map(e -> explained(wish, e)).toList());
    return view;
  }

  private static Map<String, Object> entry(Wish wish, Entry entry) {
    GraphReading reading = entry.reading();
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("attention", entry.spec());
    view.put("rank", reading.rank());
    view.put("equal_rows", reading.equalRows());
    if (!reading.refusal().isEmpty()) {
      view.put("refusal", reading.refusal());
    }
    reading
        .graph()
        .ifPresent(
            learned -> {
              view.put("complete", learned.complete());
              view.put("finished_order", learned.finishedOrder());
              if (!learned.complete()) {
                view.put("stop", learned.stop());
              }
              view.put("tests", reading.tests());
              if (Double.isFinite(reading.decisionMargin())) {
                view.put("decision_margin", reading.decisionMargin());
              }
              view.put("edges", edges(wish, learned));
            });
    entry
        .difference()
        .ifPresent(
            d -> {
              Map<String, Object> difference = new LinkedHashMap<>();
              difference.put("edges", d.edges());
              difference.put("missing", d.missing());
              difference.put("extra", d.extra());
              difference.put("marks", d.marks());
              view.put("difference", difference);
            });
    return view;
  }

  private static List<Map<String, Object>> edges(Wish wish, Learned learned) {
    List<Map<String, Object>> edges = new ArrayList<>();
    for (Pag.Edge edge : learned.graph().edges()) {
      Map<String, Object> view = new LinkedHashMap<>();
      view.put("a", wish.nodes().get(edge.a()));
      view.put("b", wish.nodes().get(edge.b()));
      view.put("mark_at_a", lower(edge.atA().name()));
      view.put("mark_at_b", lower(edge.atB().name()));
      edges.add(view);
    }
    return edges;
  }

  private static Map<String, Object> head(HeadRow row) {
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("attention", row.spec());
    view.put("head", row.head());
    boolean entropy = row.quality().distribution();
    view.put("entropy", entropy ? row.statistics().entropyExact() : null);
    view.put("mean_distance", row.statistics().meanDistance());
    view.put("to_previous", row.statistics().toPrevious());
    view.put("to_self", row.statistics().toSelf());
    view.put("to_next", row.statistics().toNext());
    view.put("to_first", row.statistics().toFirst());
    view.put("least_row_sum", row.quality().least());
    view.put("largest_row_sum", row.quality().largest());
    view.put("negative_mass", row.quality().negativeMass());
    boolean compared = entropy && Double.isFinite(row.totalVariation());
    view.put("total_variation", compared ? row.totalVariation() : null);
    return view;
  }

  private static Map<String, Object> explained(Wish wish, Explained explained) {
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("attention", explained.spec());
    view.put("candidates", positions(wish, explained.byGraph().candidates()));
    List<Map<String, Object>> sets = new ArrayList<>();
    for (Explanations.Found found : explained.byGraph().found()) {
      Map<String, Object> set = new LinkedHashMap<>();
      set.put("tokens", positions(wish, found.tokens()));
      set.put("distance", found.cost());
      sets.add(set);
    }
    view.put("sets", sets);
    view.put("asked", explained.byGraph().asked());
    explained.asked().ifPresent(asked -> view.put("asked_exhaustively", asked));
    explained.byWeight().ifPresent(asked -> view.put("asked_by_weight", asked));
    return view;
  }

  private static List<Integer> positions(Wish wish, List<Integer> tokens) {
    return tokens.stream().map(token -> wish.nodes().get(token)).toList();
  }

  private static String lower(String name) {
    return name.toLowerCase(Locale.ROOT);
  }
}
