// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import com.samskivert.mustache.Mustache;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.NamedFiles;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.AttentionMap;
import dev.crossover.reports.answer.Chart;
import dev.crossover.reports.answer.HeadMixes;
import dev.crossover.reports.answer.Headlines;
import dev.crossover.reports.answer.LearnedPhases;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PhaseDiagram;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.ScalingFit;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.chart.Figures;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;

/// Writes a report: `report.html` (self-contained), `report.md`, `figures/` (PNG and PDF) and
/// `csv/`.
public final class Report {
  private static final String HTML = "report.html";
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
    requireRecords(records, quality);
    Files.createDirectories(directory);
    Map<String, Object> view = view(records, front, quality, ReportFiles.in(directory), command);
    view.put("markdown", MARKDOWN);
    view.put("style", resource("page.css") + resource("uPlot.min.css"));
    view.put("plotLicence", resource("uPlot-LICENSE.txt").replace("*/", "* /"));
    view.put("plotScript", scriptSafe(resource("uPlot.iife.min.js")));
    view.put("script", scriptSafe(resource("page.js")));
    Path page = directory.resolve(HTML);
    NamedFiles.write(page, render("page.mustache", view, true));
    NamedFiles.write(directory.resolve(MARKDOWN), render("report.mustache", view, false));
    return page;
  }

  /// Writes `report.md` alone, without pictures, which are not drawn, and without the page.
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
    requireRecords(records, quality);
    Files.createDirectories(directory);
    Map<String, Object> view = view(records, front, quality, ReportFiles.none(), command);
    Path file = directory.resolve(MARKDOWN);
    NamedFiles.write(file, render("report.mustache", view, false));
    return file;
  }

  private static void requireRecords(List<ResultRecord> records, List<QualityRecord> quality) {
    if (records.isEmpty() && quality.isEmpty()) {
      throw new IllegalArgumentException("records must not be empty, but there were none");
    }
  }

  /// What the templates of a report need, its files written.
  private static Map<String, Object> view(
      List<ResultRecord> records,
      List<FrontRecord> front,
      List<QualityRecord> quality,
      ReportFiles files,
      String command)
      throws IOException {
    List<PanelAnswer> answers = Panel.of(records).stream().map(PanelAnswer::of).toList();
    List<QualityResults> results = QualityResults.of(quality);
    List<Map<String, Object>> phases = phases(records, front, results, command, files);
    List<Map<String, Object>> panels = new ArrayList<>();
    int room = Maps.MOST_BYTES;
    for (int i = 0; i < answers.size(); i++) {
      Map<String, Object> panel = panel(answers.get(i), i, command, files);
      List<Map<String, Object>> maps =
          Maps.of(answers.get(i).panel(), String.valueOf(panel.get("prefix")), files, room);
      room -= maps.stream().mapToInt(m -> m.get("bytes") instanceof Integer size ? size : 0).sum();
      panel.put("maps", maps);
      panel.put("hasMaps", !maps.isEmpty());
      panel.put("mapPositions", Math.min(AttentionMap.MOST_POSITIONS, largest(answers.get(i))));
      panels.add(panel);
    }
    Table capabilities = Tables.capabilities();
    files.csv("capabilities", capabilities);
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("phases", phases);
    view.put("hasPhases", !phases.isEmpty());
    view.put("panels", panels);
    view.put("several", answers.size() > 1);
    view.put("capabilities", HtmlTable.of(capabilities));
    view.put("capabilitiesMarkdown", capabilities.markdown());
    Table paths = PathsTable.known(mechanisms(records, results));
    files.csv(paths.name(), paths);
    tables(view, "paths", paths);
    view.put("pathPositions", PathsTable.POSITIONS);
    List<String> doubts = new ArrayList<>();
    if (!records.isEmpty()) {
      doubts.addAll(Doubts.of(answers, records));
    }
    doubts.addAll(Doubts.ofQuality(quality));
    view.put("hasPanels", !records.isEmpty());
    view.put("hasQuality", !quality.isEmpty());
    Map<String, Object> learned =
        quality.isEmpty() ? Map.of() : new QualitySection(quality, records, command).write(files);
    boolean learnedPage = files.draws() && !quality.isEmpty();
    view.put("qualityHtml", learnedPage ? render("quality.mustache", learned, true) : "");
    view.put("qualityScript", learnedPage ? scriptSafe(resource("quality.js")) : "");
    view.put(
        "qualityMarkdown", quality.isEmpty() ? "" : render("quality-md.mustache", learned, false));
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
    view.put("data", PageData.json(answers));
    view.put("pictures", files.draws());
    return view;
  }

  private static List<Map<String, Object>> phases(
      List<ResultRecord> records,
      List<FrontRecord> front,
      List<QualityResults> learned,
      String command,
      ReportFiles files)
      throws IOException {
    List<PhaseDiagram> diagrams = new ArrayList<>(PhaseDiagram.of(records, front));
    diagrams.addAll(LearnedPhases.of(learned, records));
    List<Map<String, Object>> phases = new ArrayList<>();
    for (PhaseDiagram diagram : diagrams) {
      int number = phases.size() + 1;
      Map<String, Object> view =
          PhaseFiles.written(
              diagram,
              "phase-" + number + "-" + slug(diagram),
              origin(diagram.panel().environment(), command),
              HeadMixes.of(diagram, front),
              files);
      view.put("folded", number > OPEN_PHASES);
      phases.add(view);
    }
    return phases;
  }

  private static Set<String> mechanisms(List<ResultRecord> records, List<QualityResults> learned) {
    Set<String> names = new TreeSet<>();
    records.forEach(record -> names.add(record.mechanism()));
    for (QualityResults results : learned) {
      results.rows().forEach(row -> names.add(row.mechanism()));
    }
    return names;
  }

  private static int largest(PanelAnswer answer) {
    return answer.panel().lengths().isEmpty() ? 0 : answer.panel().lengths().getLast();
  }

  private static Map<String, Object> panel(
      PanelAnswer answer, int number, String command, ReportFiles files) throws IOException {
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
      csv(files, prefix, points);
      Map<String, String> drawn = new LinkedHashMap<>();
      for (Figure figure : files.figures(() -> Figures.of(answer, prefix, origin))) {
        drawn.put(figure.name(), figure.title());
      }
      List<Map<String, Object>> images = new ArrayList<>();
      for (Chart chart : panel.view().charts()) {
        String name = prefix + "-" + chart.file();
        String title = drawn.get(name);
        if (title != null) {
          files.csv(name, points.select(chart.file(), chart.columns().toArray(String[]::new)));
          images.add(Map.of("name", name, "titleMarkdown", Markdown.escape(title)));
          if (chart.onPage()) {
            charts.add(chart(chart, name, number, origin));
          }
        }
      }
      view.put("images", images);
      Table summary = Tables.summary(answer);
      csv(files, prefix, summary);
      tables(view, "summary", summary);
      if (panel.view().wholeSequence()) {
        Table work = WorkTable.of(answer);
        csv(files, prefix, work);
        tables(view, "work", work);
      }
      Table caches = CacheTable.of(answer);
      if (!caches.rows().isEmpty()) {
        csv(files, prefix, caches);
      }
      tables(view, "caches", caches);
      tables(view, "points", Tables.shown(panel.view(), points));
      Table inputs = Tables.inputs(answer);
      csv(files, prefix, inputs);
      tables(view, "inputs", inputs);
    }
    view.put("charts", charts);
    Table missing = Tables.missing(panel);
    if (!missing.rows().isEmpty()) {
      csv(files, prefix, missing);
    }
    tables(view, "missing", missing);
    view.put("prefix", prefix);
    return view;
  }

  /// A chart of the page as the template wants it.
  private static Map<String, Object> chart(Chart chart, String name, int panel, String origin) {
    return Map.of(
        "id",
        chart.file(),
        "name",
        name,
        "title",
        chart.title(),
        "how",
        chart.how(),
        "panel",
        panel,
        "origin",
        origin);
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

  private static void csv(ReportFiles files, String prefix, Table table) throws IOException {
    files.csv(prefix + "-" + table.name(), table);
  }

  private static String slug(PhaseDiagram diagram) {
    return diagram.task().isEmpty()
        ? slug(diagram.panel())
        : Markdown.slug(diagram.task() + " " + diagram.panel().view().slug("causal"));
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

  static String resource(String name) throws IOException {
    try (InputStream in = Report.class.getResourceAsStream(name)) {
      if (in == null) {
        throw new IOException(name + " is missing from the class path");
      }
      return new String(in.readAllBytes(), StandardCharsets.UTF_8);
    }
  }
}
