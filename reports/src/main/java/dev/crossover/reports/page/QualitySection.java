// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.QualityResults.Row;
import dev.crossover.reports.answer.QualitySeparations;
import dev.crossover.reports.answer.QualityTimes;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.Figure;
import dev.crossover.reports.chart.Palette.Look;
import dev.crossover.reports.chart.QualityFigures;
import java.io.IOException;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// The part of the page about what models learned with each mechanism.
final class QualitySection {
  private static final String LOOKS = "quality-looks";
  private static final String POSITIONS = "position-loss";

  private final List<QualityRecord> records;
  private final List<QualityResults> results;
  private final List<QualityTimes> times;
  private final String command;

  /// @param records of training runs
  /// @param sweeps of sweeps that lie beside, for times
  /// @param command that made the page
  QualitySection(List<QualityRecord> records, List<ResultRecord> sweeps, String command) {
    this.records = records;
    this.results = QualityResults.of(records);
    this.times = QualityTimes.of(sweeps);
    this.command = command;
  }

  /// Draws figures, writes CSV files, and tells the templates what to show.
  ///
  /// @param files where figures and CSV files go
  Map<String, Object> write(ReportFiles files) throws IOException {
    Map<String, Object> view = new LinkedHashMap<>();
    Table overview = QualityTables.overview(results);
    files.csv("quality", overview);
    files.csv(LOOKS, QualityTables.looks(records));
    files.csv("quality-losses", QualityTables.losses(records));
    view.put("overview", HtmlTable.of(overview));
    view.put("overviewMarkdown", overview.markdown());
    view.put("runs", records.size());
    view.put("seeds", seeds());
    List<Map<String, String>> separations = new ArrayList<>();
    for (QualitySeparations.Verdict verdict : QualitySeparations.of(results)) {
      separations.add(
          Map.of(
              "claim", verdict.claim(),
              "claimMarkdown", Markdown.escape(verdict.claim()),
              "verdict", verdict.verdict(),
              "evidence", verdict.evidence(),
              "evidenceMarkdown", Markdown.escape(verdict.evidence())));
    }
    view.put("separations", separations);
    view.put("hasSeparations", !separations.isEmpty());
    List<Map<String, Object>> tasks = new ArrayList<>();
    for (int i = 0; i < results.size(); i++) {
      tasks.add(task(results.get(i), i, files));
    }
    view.put("tasks", tasks);
    view.put("data", json());
    return view;
  }

  private String seeds() {
    long most =
        results.stream()
            .flatMap(one -> one.rows().stream())
            .mapToLong(row -> row.records().size())
            .max()
            .orElse(0);
    return most > 1
        ? "Mean accuracy over seeds of the model, its 95 % interval, and how many seeds solved the"
            + " task: learning is often all or nothing, and then a mean of seeds describes none."
        : "One seed of the model: what another would reach is unknown.";
  }

  private Map<String, Object> task(QualityResults one, int number, ReportFiles files)
      throws IOException {
    String prefix = "quality-" + (number + 1) + "-" + Markdown.slug(one.task());
    String origin = origin();
    Map<String, Object> view = new LinkedHashMap<>();
    view.put("id", prefix);
    view.put("title", one.title());
    view.put("titleMarkdown", Markdown.escape(one.title()));
    view.put("asks", one.info().asks());
    view.put("asksMarkdown", Markdown.escape(one.info().asks()));
    String answer = (one.floors() + " " + answer(one)).strip();
    view.put("answer", answer);
    view.put("answerMarkdown", Markdown.escape(answer));
    view.put("chance", String.format(Locale.ROOT, "%.3f", one.chance()));
    view.put("source", one.info().source());
    view.put("sourceMarkdown", Markdown.escape(one.info().source()));
    List<Map<String, String>> published = new ArrayList<>();
    for (String line : one.info().published()) {
      published.add(Map.of("line", line, "lineMarkdown", Markdown.escape(line)));
    }
    view.put("published", published);
    view.put("hasPublished", !published.isEmpty());
    Table table = QualityTables.task(one, times);
    files.csv(prefix, table);
    view.put("table", HtmlTable.of(table));
    view.put("tableMarkdown", table.markdown());
    Table settings = QualityTables.settings(one);
    boolean evaluated = !settings.rows().isEmpty();
    if (evaluated) {
      files.csv(prefix + "-settings", settings);
      view.put("settings", HtmlTable.of(settings));
      view.put("settingsMarkdown", settings.markdown());
      view.put("settingsCsv", prefix + "-settings");
    }
    view.put("hasSettings", evaluated);
    Table positions = QualityTables.positions(one);
    view.put("hasPositions", !positions.rows().isEmpty());
    view.put("positions", HtmlTable.of(positions));
    view.put("positionsMarkdown", positions.markdown());
    List<Map<String, Object>> charts = new ArrayList<>();
    for (Figure figure : files.figures(() -> QualityFigures.of(one, times, prefix, origin))) {
      String kind = figure.name().substring(prefix.length() + 1);
      Map<String, Object> chart = new LinkedHashMap<>();
      chart.put("kind", kind);
      chart.put("task", number);
      chart.put("name", figure.name());
      chart.put("title", heading(kind));
      chart.put("how", how(kind, one));
      chart.put("titleMarkdown", Markdown.escape(figure.title()));
      chart.put("csv", numbers(one, kind, prefix, files));
      chart.put("origin", origin);
      charts.add(chart);
    }
    view.put("charts", charts);
    return view;
  }

  /// The file with the numbers of a chart.
  private String numbers(QualityResults one, String kind, String prefix, ReportFiles files)
      throws IOException {
    for (QualityTimes time : times) {
      if (time.name().equals(kind)) {
        String name = prefix + "-" + kind;
        files.csv(name, QualityTables.times(one, time));
        return name;
      }
    }
    if (kind.equals(POSITIONS)) {
      String name = prefix + "-" + kind;
      files.csv(name, QualityTables.positions(one));
      return name;
    }
    return switch (kind) {
      case "learning" -> LOOKS;
      case "loss" -> "quality-losses";
      default -> prefix;
    };
  }

  private static String heading(String kind) {
    return switch (kind) {
      case "state" -> "What state buys";
      case "forward" -> "What time buys";
      case "layer" -> "What a layer's time buys";
      case "decode" -> "What decoding time buys";
      case "learning" -> "Learning";
      case "loss" -> "Loss";
      case "length-loss" -> "Loss beyond the trained length";
      case POSITIONS -> "Loss by position";
      default -> "Beyond the trained length";
    };
  }

  private static String how(String kind, QualityResults one) {
    return switch (kind) {
      case "state" ->
          "accuracy against the bytes that decoding keeps after "
              + Wording.length(one.positions())
              + " tokens; up and left is better, the step line is the front";
      case "forward", "layer", "decode" ->
          "accuracy at the trained length against time per token at another, measured in a sweep of"
              + " other shapes; up and left is better";
      case "learning" -> "accuracy on test samples, the same for every mixer and seed";
      case "loss" -> "training loss in nats, means of stretches of steps";
      case "length-loss" ->
          "loss in bits against the length of test samples; where every symbol decides, a fixed"
              + " depth with bounded scores must come to one bit (Hahn, 2020)";
      case POSITIONS ->
          "loss in bits at positions 1, 2, 3–4, 5–8, … of test samples, against the last of them:"
              + " how far context helps";
      default -> "accuracy against the length of test samples; trained at the shortest shown";
    };
  }

  /// Who solved a task, in one sentence.
  private static String answer(QualityResults one) {
    List<String> solved = new ArrayList<>();
    List<String> others = new ArrayList<>();
    for (Row row : one.rows()) {
      double accuracy = row.accuracy(one.positions());
      if (accuracy >= QualityResults.SOLVED) {
        solved.add(row.label());
      } else if (!Double.isNaN(accuracy)) {
        others.add(String.format(Locale.ROOT, "%s %.3f", row.label(), accuracy));
      }
    }
    String first =
        solved.isEmpty() ? "Solved by none." : "Solved by " + String.join("; ", solved) + ".";
    return others.isEmpty() ? first : first + " Not solved: " + String.join("; ", others) + ".";
  }

  private String origin() {
    QualityRecord first = records.getFirst();
    String told =
        records.stream()
            .map(QualityRecord::command)
            .filter(Objects::nonNull)
            .distinct()
            .collect(Collectors.joining("; "));
    String made = told.isEmpty() ? command : told;
    return String.join(
        " · ",
        made,
        first.machine().cpu() + ", " + first.machine().cores() + " cores",
        "JDK " + first.machine().jdk(),
        "commit " + first.commit());
  }

  /// What the script draws.
  private String json() {
    List<Map<String, Object>> tasks = new ArrayList<>();
    for (QualityResults one : results) {
      Map<String, Look> looks = QualityFigures.looks(one);
      Map<String, Object> task = new LinkedHashMap<>();
      task.put("chance", one.chance());
      task.put("positions", one.positions());
      task.put("guess", one.guessBits());
      Map<String, Object> lengths = new LinkedHashMap<>();
      times.forEach(time -> lengths.put(time.name(), time.lengths(one)));
      task.put("lengths", lengths);
      Map<String, Object> chosen = new LinkedHashMap<>();
      times.forEach(time -> chosen.put(time.name(), time.chosen(one)));
      task.put("chosen", chosen);
      List<Map<String, Object>> series = new ArrayList<>();
      for (Row row : one.rows()) {
        series.add(series(row, one, Objects.requireNonNull(looks.get(row.mixer()), row.mixer())));
      }
      task.put("series", series);
      tasks.add(task);
    }
    return PageData.safe(RecordJson.write(Map.of("tasks", tasks)));
  }

  private Map<String, Object> series(Row row, QualityResults one, Look look) {
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("label", row.label());
    data.put("light", look.light());
    data.put("dark", look.dark());
    data.put("marker", look.marker().name().toLowerCase(Locale.ROOT));
    data.put("dash", look.dash());
    data.put("width", look.width());
    int own = one.positions();
    data.put("accuracy", number(row.accuracy(own)));
    data.put("low", number(row.low(own)));
    data.put("high", number(row.high(own)));
    data.put("words", QualityResults.words(row, own));
    data.put("state", number(row.stateBytes()));
    data.put("seeds", row.records().size());
    data.put("solved", row.solved(own));
    List<List<@Nullable Double>> lengths = new ArrayList<>();
    for (int n : one.lengths()) {
      if (!Double.isNaN(row.accuracy(n))) {
        lengths.add(points(n, row.accuracy(n), row.low(n), row.high(n)));
      }
    }
    data.put("lengths", lengths);
    data.put("length-loss", one.lengths().stream().map(n -> points(n, row.bits(n))).toList());
    List<List<@Nullable Double>> positions = new ArrayList<>();
    row.bitsByPosition().forEach((to, bits) -> positions.add(points(to, bits)));
    data.put(POSITIONS, positions);
    data.put("learning", row.records().stream().map(record -> learning(record, own)).toList());
    data.put("loss", row.records().stream().map(QualitySection::loss).toList());
    for (QualityTimes time : times) {
      List<List<@Nullable Double>> seconds = new ArrayList<>();
      for (int n : time.lengths(one)) {
        seconds.add(points(n, time.seconds(row, n)));
      }
      data.put(time.name(), seconds);
    }
    return data;
  }

  private static List<List<@Nullable Double>> learning(QualityRecord record, int length) {
    return record.looks().stream()
        .filter(look -> look.length() == length)
        .map(look -> points(look.step(), look.accuracy()))
        .toList();
  }

  private static List<List<@Nullable Double>> loss(QualityRecord record) {
    return record.curve().stream().map(point -> points(point.step(), point.loss())).toList();
  }

  private static List<@Nullable Double> points(double... values) {
    List<@Nullable Double> list = new ArrayList<>();
    for (double value : values) {
      list.add(number(value));
    }
    return list;
  }

  private static @Nullable Double number(double value) {
    return PageData.number(value);
  }
}
