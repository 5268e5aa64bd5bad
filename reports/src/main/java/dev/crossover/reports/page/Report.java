// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import com.samskivert.mustache.Mustache;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.AttentionMap;
import dev.crossover.reports.answer.Headlines;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PhaseDiagram;
import dev.crossover.reports.answer.ScalingFit;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.chart.Figures;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Stream;

/// Writes a report: `report.html` (self-contained), `report.md`, `figures/` (PNG and PDF) and
/// `csv/`.
public final class Report {
  private static final String HTML = "report.html";
  private static final String INTERACTIVE = " · interactive version: [report.html](report.html)";
  private static final String MARKDOWN = "report.md";

  /// Phase diagrams that are open when the page is; one for each mask.
  private static final int OPEN_PHASES = 2;

  private Report() {}

  /// Writes a report of all records, existing files of the same names replaced.
  ///
  /// @param records measured and missing points of any number of sweeps and machines
  /// @param directory where to write; created when absent
  /// @param command the command that made the records, as a user would type it
  /// @return the page
  /// @throws IllegalArgumentException if there is no record
  /// @throws IOException if a file cannot be written
  public static Path write(List<ResultRecord> records, Path directory, String command)
      throws IOException {
    return write(records, List.of(), List.of(), directory, command);
  }

  /// Writes a report of measured points and of training runs, either of which may be none.
  ///
  /// @param records measured and missing points of any number of sweeps and machines
  /// @param front what `crossover tune` tried, whose errors the phase diagrams then show
  /// @param quality training runs
  /// @param directory where to write; created when absent
  /// @param command the command that made the records, as a user would type it
  /// @return the page
  /// @throws IllegalArgumentException if there is no record of any kind
  /// @throws IOException if a file cannot be written
  public static Path write(
      List<ResultRecord> records,
      List<FrontRecord> front,
      List<QualityRecord> quality,
      Path directory,
      String command)
      throws IOException {
    if (records.isEmpty() && quality.isEmpty()) {
      throw new IllegalArgumentException("records must not be empty, but there were none");
    }
    List<PanelAnswer> answers = Panel.of(records).stream().map(PanelAnswer::of).toList();
    Files.createDirectories(directory);
    Path figureFolder = Files.createDirectories(directory.resolve("figures"));
    Path csvFolder = Files.createDirectories(directory.resolve("csv"));
    List<Map<String, Object>> phases = phases(records, front, command, figureFolder, csvFolder);
    List<Map<String, Object>> panels = new ArrayList<>();
    int room = Maps.MOST_BYTES;
    for (int i = 0; i < answers.size(); i++) {
      Map<String, Object> panel = panel(answers.get(i), i, command, figureFolder, csvFolder);
      List<Map<String, Object>> maps =
          Maps.of(
              answers.get(i).panel(),
              String.valueOf(panel.get("prefix")),
              figureFolder,
              csvFolder,
              room);
      room -= maps.stream().mapToInt(m -> m.get("bytes") instanceof Integer size ? size : 0).sum();
      panel.put("maps", maps);
      panel.put("hasMaps", !maps.isEmpty());
      panel.put("mapPositions", Math.min(AttentionMap.MOST_POSITIONS, largest(answers.get(i))));
      panels.add(panel);
    }
    Table capabilities = Tables.capabilities();
    NamedFiles.write(csvFolder.resolve("capabilities.csv"), capabilities.csv());
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("phases", phases);
    view.put("hasPhases", !phases.isEmpty());
    view.put("panels", panels);
    view.put("several", answers.size() > 1);
    view.put("capabilities", HtmlTable.of(capabilities));
    view.put("capabilitiesMarkdown", capabilities.markdown());
    List<String> doubts = new ArrayList<>();
    if (!records.isEmpty()) {
      doubts.addAll(Doubts.of(answers, records));
    }
    doubts.addAll(Doubts.ofQuality(quality));
    view.put("hasPanels", !records.isEmpty());
    view.put("hasQuality", !quality.isEmpty());
    Map<String, Object> learned =
        quality.isEmpty()
            ? Map.of()
            : new QualitySection(quality, records, command).write(figureFolder, csvFolder);
    view.put("qualityHtml", quality.isEmpty() ? "" : render("quality.mustache", learned, true));
    view.put(
        "qualityMarkdown", quality.isEmpty() ? "" : render("quality-md.mustache", learned, false));
    view.put("qualityScript", quality.isEmpty() ? "" : scriptSafe(resource("quality.js")));
    view.put("doubts", doubts.stream().map(Report::unbroken).toList());
    view.put("doubtsMarkdown", doubts.stream().map(Markdown::escape).toList());
    view.put("command", command);
    view.put("commandMarkdown", Markdown.code(command));
    List<Map<String, Object>> environments = EnvironmentFacts.of(records);
    environments.addAll(QualityFacts.of(quality));
    view.put("environments", environments);
    view.put("recordWords", QualityFacts.count(records.size(), quality.size()));
    view.put("rule", ScalingFit.RULE);
    String machine = machine(records, quality);
    view.put("machine", machine);
    view.put("machineMarkdown", Markdown.escape(machine));
    view.put("markdown", MARKDOWN);
    view.put("style", resource("page.css") + resource("uPlot.min.css"));
    view.put("plotLicence", resource("uPlot-LICENSE.txt").replace("*/", "* /"));
    view.put("plotScript", scriptSafe(resource("uPlot.iife.min.js")));
    view.put("script", scriptSafe(resource("page.js")));
    view.put("data", PageData.json(answers));
    Path page = directory.resolve(HTML);
    NamedFiles.write(page, render("page.mustache", view, true));
    NamedFiles.write(directory.resolve(MARKDOWN), render("report.mustache", view, false));
    return page;
  }

  /// Writes `report.md` alone, without pictures and without the page.
  ///
  /// @return the file
  /// @throws IllegalArgumentException if there is no record of any kind
  /// @throws IOException if a file cannot be written
  public static Path writeTables(
      List<ResultRecord> records,
      List<FrontRecord> front,
      List<QualityRecord> quality,
      Path directory,
      String command)
      throws IOException {
    Path whole = Files.createTempDirectory("crossover-report");
    try {
      write(records, front, quality, whole, command);
      String text =
          Files.readString(whole.resolve(MARKDOWN))
              .replace(INTERACTIVE, " · pictures: `crossover report`")
              .replaceAll("(?m)^!\\[.*\\]\\(figures/.*\\)\\R\\R?", "");
      Files.createDirectories(directory);
      Path file = directory.resolve(MARKDOWN);
      NamedFiles.write(file, text);
      return file;
    } finally {
      try (Stream<Path> files = Files.walk(whole)) {
        for (Path file : files.sorted(Comparator.reverseOrder()).toList()) {
          Files.delete(file);
        }
      }
    }
  }

  private static List<Map<String, Object>> phases(
      List<ResultRecord> records,
      List<FrontRecord> front,
      String command,
      Path figureFolder,
      Path csvFolder)
      throws IOException {
    List<Map<String, Object>> phases = new ArrayList<>();
    for (PhaseDiagram diagram : PhaseDiagram.of(records, front)) {
      int number = phases.size() + 1;
      Map<String, Object> view =
          PhaseFiles.written(
              diagram,
              "phase-" + number + "-" + slug(diagram.panel()),
              origin(diagram.panel().environment(), command),
              figureFolder,
              csvFolder);
      view.put("folded", number > OPEN_PHASES);
      phases.add(view);
    }
    return phases;
  }

  private static int largest(PanelAnswer answer) {
    return answer.panel().lengths().isEmpty() ? 0 : answer.panel().lengths().getLast();
  }

  private static Map<String, Object> panel(
      PanelAnswer answer, int number, String command, Path figureFolder, Path csvFolder)
      throws IOException {
    Panel panel = answer.panel();
    String prefix = (number + 1) + "-" + slug(panel);
    String origin = origin(panel.environment(), command);
    Map<String, Object> view = new LinkedHashMap<>();
    Headlines headlines = Headlines.of(answer);
    view.put("id", "panel-" + (number + 1));
    view.put("index", number);
    view.put("title", panel.title());
    view.put("titleMarkdown", Markdown.escape(panel.title()));
    view.put("sizes", panel.sizes());
    view.put("lines", headlines.lines().stream().map(Report::unbroken).toList());
    view.put("linesMarkdown", headlines.lines().stream().map(Markdown::escape).toList());
    view.put("hasFindings", !headlines.findings().isEmpty());
    view.put(
        "findings",
        headlines.findings().stream()
            .map(f -> new Headlines.Finding(f.subject(), unbroken(f.text())))
            .toList());
    view.put("findingsMarkdown", headlines.findings().stream().map(Report::markdown).toList());
    view.put("origin", origin);
    view.put("originMarkdown", Markdown.escape(origin));
    view.put("open", number < 4);
    List<Map<String, Object>> charts = new ArrayList<>();
    if (!panel.series().isEmpty()) {
      Table points = Tables.points(answer);
      csv(csvFolder, prefix, points);
      Set<String> drawn = new TreeSet<>();
      List<Map<String, Object>> images = new ArrayList<>();
      List<Figure> figures = Figures.of(answer, prefix, origin);
      draw(figures, figureFolder);
      for (Figure figure : figures) {
        String kind = figure.name().substring(prefix.length() + 1);
        drawn.add(kind);
        csv(csvFolder, prefix, columns(points, kind));
        images.add(Map.of("name", figure.name(), "titleMarkdown", Markdown.escape(figure.title())));
      }
      view.put("images", images);
      for (ChartKind kind : ChartKind.of(panel.view())) {
        if (drawn.contains(kind.file())) {
          charts.add(kind.view(prefix, number, origin));
        }
      }
      Table summary = Tables.summary(answer);
      csv(csvFolder, prefix, summary);
      tables(view, "summary", summary);
      if (panel.view().wholeSequence()) {
        Table work = WorkTable.of(answer);
        csv(csvFolder, prefix, work);
        tables(view, "work", work);
      }
      Table caches = CacheTable.of(answer);
      if (!caches.rows().isEmpty()) {
        csv(csvFolder, prefix, caches);
      }
      tables(view, "caches", caches);
      tables(view, "points", shown(points));
      Table inputs = Tables.inputs(answer);
      csv(csvFolder, prefix, inputs);
      tables(view, "inputs", inputs);
    }
    view.put("charts", charts);
    Table missing = Tables.missing(panel);
    if (!missing.rows().isEmpty()) {
      csv(csvFolder, prefix, missing);
    }
    tables(view, "missing", missing);
    view.put("prefix", prefix);
    return view;
  }

  private static void draw(List<Figure> figures, Path folder) throws IOException {
    try {
      figures.parallelStream()
          .forEach(
              figure -> {
                try {
                  figure.write(folder);
                } catch (IOException e) {
                  throw new UncheckedIOException(e);
                }
              });
    } catch (UncheckedIOException e) {
      throw e.getCause();
    }
  }

  /// A sentence whose numbers stay on one line with their units and with `n =`.
  private static String unbroken(String text) {
    return text.replaceAll("(?<=\\d) (?=%|ms\\b|µs\\b|[KMG]iB\\b)", "\u00a0")
        .replaceAll("\\bn = (?=\\d)", "n\u00a0=\u00a0");
  }

  private static String markdown(Headlines.Finding finding) {
    String subject =
        finding.subject().isEmpty() ? "" : "**" + Markdown.escape(finding.subject()) + "**";
    return subject + Markdown.escape(finding.text());
  }

  private static void tables(Map<String, Object> view, String name, Table table) {
    boolean there = !table.rows().isEmpty();
    view.put("has" + name.substring(0, 1).toUpperCase(Locale.ROOT) + name.substring(1), there);
    view.put(name, HtmlTable.of(table));
    view.put(name + "Markdown", there ? table.markdown() : "");
    view.put(name + "Count", table.rows().size());
  }

  private static Table columns(Table points, String kind) {
    return switch (kind) {
      case "time" ->
          points.select(
              kind,
              "mechanism",
              "spec",
              "n",
              "seconds",
              "seconds_low",
              "seconds_high",
              "forks",
              "samples",
              "relative_error");
      case "tokens" ->
          points.select(kind, "mechanism", "spec", "n", "tokens_per_second", "relative_error");
      case "error" ->
          points.select(
              kind,
              "mechanism",
              "spec",
              "n",
              "relative_error",
              "relative_error_low",
              "relative_error_high",
              "max_abs_error",
              "mean_cosine",
              "grad_q_error",
              "grad_k_error",
              "grad_v_error");
      case "roofline" ->
          points.select(
              kind,
              "mechanism",
              "spec",
              "n",
              "intensity",
              "gflops",
              "share_of_peak",
              "roof_gflops");
      case "pareto-time" ->
          points.select(kind, "mechanism", "spec", "n", "seconds", "relative_error", "fronts");
      case "pareto-memory" ->
          points.select(
              kind, "mechanism", "spec", "n", "counted_bytes", "relative_error", "fronts");
      case "state" -> points.select(kind, "mechanism", "spec", "n", "state_bytes");
      case "memory" ->
          points.select(
              kind,
              "mechanism",
              "spec",
              "n",
              "counted_bytes",
              "scratch_bytes",
              "parameter_bytes",
              "kept_bytes");
      default -> points.select(kind, "mechanism", "spec", "n", kind + "_bytes");
    };
  }

  /// The columns of the table of all points that people read, as far as they are filled; the others
  /// are in the CSV file.
  private static Table shown(Table points) {
    return points
        .select(
            "points",
            "mechanism",
            "n",
            "seconds",
            "seconds_low",
            "seconds_high",
            "forks",
            "samples",
            "tokens_per_second",
            "relative_error",
            "max_abs_error",
            "mean_cosine",
            "grad_q_error",
            "grad_k_error",
            "grad_v_error",
            "counted_bytes",
            "kept_bytes",
            "state_bytes",
            "allocated_bytes",
            "first_call_bytes",
            "resident_bytes",
            "gflops",
            "share_of_peak",
            "fronts")
        .withoutEmptyColumns();
  }

  private static void csv(Path folder, String prefix, Table table) throws IOException {
    NamedFiles.write(folder.resolve(prefix + "-" + table.name() + ".csv"), table.csv());
  }

  private static String slug(Panel panel) {
    String safe = Markdown.slug(panel.view().slug(panel.key().mask()) + "-" + panel.key().input());
    return safe.substring(0, Math.min(40, safe.length())).replaceAll("-+$", "");
  }

  private static String origin(ResultRecord.Environment e, String command) {
    return String.join(
        " · ",
        command,
        e.cpu() + ", " + e.cores() + (e.cores() == 1 ? " core" : " cores"),
        "JDK " + e.jdk(),
        "commit " + e.commit(),
        "kernels " + e.kernels());
  }

  private static String machine(List<ResultRecord> records, List<QualityRecord> quality) {
    Set<String> machines = new TreeSet<>();
    for (QualityRecord record : quality) {
      machines.add(record.machine().cpu() + ", " + record.machine().cores() + " cores");
    }
    for (ResultRecord record : records) {
      machines.add(record.environment().cpu() + ", " + record.environment().cores() + " cores");
    }
    return machines.size() == 1 ? machines.iterator().next() : machines.size() + " machines";
  }

  private static String render(String template, Map<String, Object> view, boolean html)
      throws IOException {
    return Mustache.compiler().escapeHTML(html).compile(resource(template)).execute(view);
  }

  /// A script inside an HTML page must not end it.
  private static String scriptSafe(String script) {
    return script.replace("</script", "<\\/script").replace("<!--", "<\\!--");
  }

  private static String resource(String name) throws IOException {
    try (InputStream in = Report.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException(name + " is missing from the class path");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
