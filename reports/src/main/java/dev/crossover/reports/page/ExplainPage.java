// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import com.samskivert.mustache.Mustache;
import dev.crossover.bench.reading.CausalGraph.Learned;
import dev.crossover.bench.reading.GraphReading.Settings;
import dev.crossover.bench.reading.GraphStudy.Entry;
import dev.crossover.bench.reading.PathTable;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.GraphPicture;
import dev.crossover.reports.chart.HeatMap;
import dev.crossover.reports.chart.Sketch;
import dev.crossover.reports.study.ExplainReport;
import dev.crossover.reports.study.ExplainReport.Part;
import dev.crossover.reports.study.ExplainReport.Wish;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/// Writes an explanation: `explain.html` (self-contained), `explain.json`, `figures/` (PNG, PDF and
/// SVG), `graphs/` (Graphviz) and `csv/`.
public final class ExplainPage {
  private static final String HTML = "explain.html";
  private static final String JSON = "explain.json";

  private final ExplainReport report;
  private final Path folder;

  private ExplainPage(ExplainReport report, Path folder) {
    this.report = report;
    this.folder = folder;
  }

  /// Writes an explanation, existing files of the same names replaced.
  ///
  /// @param paths the table of path lengths to show; absent: none
  /// @param folder where to write; created when absent
  /// @param command the command as a user would type it
  /// @return the page
  /// @throws IOException if a file cannot be written
  public static Path write(
      ExplainReport report, Optional<PathTable> paths, Path folder, String command)
      throws IOException {
    for (String part : List.of("figures", "graphs", "csv")) {
      Files.createDirectories(folder.resolve(part));
    }
    NamedFiles.write(folder.resolve(JSON), GraphFiles.json(report, command));
    Map<String, Object> view = new ExplainPage(report, folder).view(paths);
    view.put("command", command);
    view.put("json", JSON);
    view.put("style", resource("page.css"));
    Path page = folder.resolve(HTML);
    NamedFiles.write(page, Mustache.compiler().compile(resource("explain.mustache")).execute(view));
    return page;
  }

  private Map<String, Object> view(Optional<PathTable> paths) throws IOException {
    Wish wish = report.wish();
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("source", report.source());
    view.put("head", wish.head());
    view.put("tokens", tokens(wish));
    view.put("how", how(wish.settings()));
    List<Map<String, Object>> parts = new ArrayList<>();
    for (Part part : report.parts()) {
      parts.add(part(part));
    }
    view.put("parts", parts);
    view.put("layers", report.layers().isPresent() ? List.of(layers(report.layers().get())) : null);
    List<Map<String, Object>> groups = new ArrayList<>();
    if (paths.isPresent()) {
      for (PathTable.Group group : PathTable.Group.values()) {
        Table table = PathsTable.of(paths.get(), group);
        csv("", table);
        groups.add(Map.of("title", group.title(), "table", HtmlTable.of(table)));
      }
    }
    view.put("hasPaths", paths.isPresent());
    view.put("paths", groups);
    view.put("pathPositions", paths.map(PathTable::n).orElse(0));
    return view;
  }

  private static String tokens(Wish wish) {
    List<String> tokens = new ArrayList<>();
    for (int i = 0; i < wish.nodes().size(); i++) {
      String name = wish.names().get(i);
      String position = Integer.toString(wish.nodes().get(i));
      tokens.add(name.equals(position) ? position : position + " “" + name + "”");
    }
    return String.join(", ", tokens);
  }

  private static String how(Settings settings) {
    return String.format(
        Locale.ROOT,
        "Two tokens count as independent at p > %s with %d samples, which without conditions is"
            + " |r| below %.3f. The number of samples is a choice: one head has its own width, the"
            + " model's width is usual too and leaves more edges.",
        plain(settings.significance()),
        settings.samples(),
        settings.threshold());
  }

  private static String plain(double value) {
    return new java.math.BigDecimal(Double.toString(value)).stripTrailingZeros().toPlainString();
  }

  private Map<String, Object> part(Part part) throws IOException {
    Wish wish = report.wish();
    Map<String, Object> view = new LinkedHashMap<>();
    String subtitle =
        String.format(
            Locale.ROOT,
            "%s, head %d, %d tokens · independent at p > %s with %d samples (|r| < %.3f)",
            report.source(),
            wish.head(),
            wish.nodes().size(),
            plain(wish.settings().significance()),
            wish.settings().samples(),
            wish.settings().threshold());
    Sketch sketch =
        GraphPicture.of(
            "Causal graphs, " + part.title(),
            subtitle,
            wish.names(),
            part.entries(),
            part.entries().stream().map(Entry::spec).toList());
    String name = "graphs-" + part.key();
    Path figures = folder.resolve("figures");
    sketch.writePng(figures.resolve(name + ".png"));
    sketch.writePdf(figures.resolve(name + ".pdf"));
    String title = "Causal graphs of " + wish.nodes().size() + " tokens, " + part.title();
    NamedFiles.write(figures.resolve(name + ".svg"), sketch.svg(false, title));
    view.put("title", part.title());
    view.put("key", part.key());
    view.put("picture", sketch.svg(true, title));
    view.put("name", name);
    view.put("lead", lead(part));
    view.put("left", String.join(", ", part.left()));
    view.put("hasLeft", !part.left().isEmpty());
    Table graphs = ExplainTables.graphs(part);
    csv(part.key() + "-", graphs);
    view.put("graphs", HtmlTable.of(graphs));
    Table heads = ExplainTables.heads(part);
    csv(part.key() + "-", heads);
    view.put("heads", HtmlTable.of(heads));
    List<Map<String, String>> files = new ArrayList<>();
    for (Entry entry : part.entries()) {
      Optional<Learned> learned = entry.reading().graph();
      if (learned.isPresent()) {
        String slug = entry.spec().toLowerCase(Locale.ROOT).replaceAll("[^a-z0-9]+", "-");
        String file = part.key() + "-" + slug.substring(0, Math.min(60, slug.length())) + ".dot";
        NamedFiles.write(
            folder.resolve("graphs").resolve(file),
            GraphFiles.graphviz(
                entry.spec() + ", " + part.title(), wish.names(), learned.get().graph()));
        files.add(Map.of("file", file, "label", entry.spec()));
      }
    }
    view.put("files", files);
    view.put("hasExplained", !part.explained().isEmpty());
    if (!part.explained().isEmpty()) {
      Table explained = ExplainTables.explained(wish, part);
      csv(part.key() + "-", explained);
      view.put("explained", HtmlTable.of(explained));
      view.put("target", wish.names().get(wish.nodes().indexOf(wish.target().orElseThrow())));
      view.put("share", Wording.percent(wish.share()));
    }
    return view;
  }

  /// The number of edges that differ, in a sentence.
  private static String lead(Part part) {
    List<String> clauses = new ArrayList<>();
    for (Entry entry : part.entries()) {
      entry.difference().ifPresent(d -> clauses.add(entry.spec() + " in " + d.edges()));
      if (!entry.reading().refusal().isEmpty()) {
        clauses.add(entry.spec() + " has none (its rows have rank " + entry.reading().rank() + ")");
      }
    }
    int edges =
        part.entries().getFirst().reading().graph().map(g -> g.graph().edges().size()).orElse(0);
    String first = part.entries().getFirst().spec();
    String start = "The graph of " + first + " has " + edges + " edges";
    return clauses.isEmpty()
        ? start + "."
        : start + "; of edges that differ from it, " + String.join(", ", clauses) + ".";
  }

  private Map<String, Object> layers(ExplainReport.Layers layers) throws IOException {
    Table table = ExplainTables.layers(layers);
    csv("", table);
    int n = layers.maps().length;
    byte[] png = HeatMap.png(n, (i, j) -> (float) layers.maps()[i][j]);
    NamedFiles.write(folder.resolve("figures").resolve("rollout.png"), png);
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("query", layers.query());
    view.put("table", HtmlTable.of(table));
    view.put("data", "data:image/png;base64," + Base64.getEncoder().encodeToString(png));
    return view;
  }

  private void csv(String prefix, Table table) throws IOException {
    NamedFiles.write(folder.resolve("csv").resolve(prefix + table.name() + ".csv"), table.csv());
  }

  private static String resource(String name) throws IOException {
    try (InputStream in = ExplainPage.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException(name + " is missing from the class path");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
