// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.attention.Capabilities;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Crossover;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Metric;
import dev.crossover.reports.answer.Metrics;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.ScalingFit;
import dev.crossover.reports.answer.Series;
import dev.crossover.reports.answer.StudyView;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import org.jspecify.annotations.Nullable;

/// The tables of a report.
final class Tables {
  private Tables() {}

  /// One row per mechanism and setting: crossovers, exponents, error, memory.
  static Table summary(PanelAnswer answer) {
    StudyView view = answer.panel().view();
    boolean whole = view.wholeSequence();
    String bytes = view.bytes();
    List<Column> columns = new ArrayList<>();
    columns.add(text("mechanism", "mechanism"));
    columns.add(number("largest n", "largest_n"));
    columns.add(number(view.title(Metrics.ERROR) + " there", "relative_error"));
    columns.add(number("time there", "seconds"));
    for (String baseline : baselines(answer)) {
      columns.add(number("faster than " + baseline + " from n", "crossover_" + baseline));
      columns.add(number("times faster than " + baseline, "speed_over_" + baseline));
    }
    columns.add(number("time grows as n^", "time_exponent"));
    columns.add(text("over n", "time_range"));
    columns.add(text("local slopes", "time_local_slopes"));
    if (whole) {
      columns.add(number("theory", "theoretical_exponent"));
      columns.add(text("verdict", "verdict"));
    }
    columns.add(number(bytes + " there", "bytes"));
    columns.add(number(bytes + " grows as n^", "memory_exponent"));
    for (String baseline : baselines(answer)) {
      columns.add(number("smaller than " + baseline + " from n", "memory_crossover_" + baseline));
    }
    if (whole) {
      columns.add(number("GFLOP/s", "gflops"));
      columns.add(number("of peak", "share_of_peak"));
    }
    List<List<Cell>> rows = new ArrayList<>();
    for (SeriesAnswer one : answer.series()) {
      rows.add(summaryRow(answer, one));
    }
    return new Table("summary", columns, rows);
  }

  private static List<Cell> summaryRow(PanelAnswer answer, SeriesAnswer one) {
    StudyView view = answer.panel().view();
    Point last = one.series().points().getLast();
    List<Cell> row = new ArrayList<>();
    row.add(new Cell(one.series().label(), one.series().spec()));
    row.add(Cell.number(Wording.length(last.n()), last.n()));
    row.add(cell(Metrics.ERROR, last));
    row.add(cell(Metrics.SECONDS, last));
    for (String baseline : baselines(answer)) {
      row.add(crossover(one.time().get(baseline)));
      double other =
          answer
              .panel()
              .baseline(baseline)
              .flatMap(s -> s.at(last.n()))
              .map(Point::seconds)
              .orElse(Double.NaN);
      double speed = other / last.seconds();
      row.add(Cell.number(Wording.digits(speed), speed));
    }
    row.add(exponent(one.timeFit()));
    row.add(Cell.text(one.timeFit().map(Wording::range).orElse("–")));
    row.add(Cell.text(one.timeFit().map(Wording::slopes).orElse("–")));
    if (view.wholeSequence()) {
      row.add(Cell.number(Wording.digits(one.theory()), one.theory()));
      row.add(
          Cell.text(one.timeFit().map(f -> verdict(f, one.theory())).orElse("too few lengths")));
    }
    row.add(cell(view.memory(), last));
    row.add(exponent(one.memoryFit()));
    for (String baseline : baselines(answer)) {
      row.add(crossover(one.memory().get(baseline)));
    }
    if (view.wholeSequence()) {
      row.add(cell(Metrics.GFLOPS, last));
      row.add(cell(Metrics.SHARE_OF_PEAK, last));
    }
    return row;
  }

  private static List<String> baselines(PanelAnswer answer) {
    return PanelAnswer.BASELINES.stream()
        .filter(b -> answer.panel().baseline(b).isPresent())
        .toList();
  }

  private static String verdict(ScalingFit fit, double theory) {
    if (Double.isNaN(theory)) {
      return "theory unknown";
    }
    return switch (fit.against(theory)) {
      case AGREES -> "agrees";
      case ABOVE -> "steeper";
      case BELOW -> "flatter";
      case BENDS -> "bends";
      case UNDECIDED -> fit.hasInterval() ? "undecided" : "one fork";
    };
  }

  private static Cell crossover(@Nullable Crossover crossover) {
    if (crossover == null) {
      return new Cell("–", "");
    }
    double value =
        switch (crossover.kind()) {
          case REACHED -> crossover.n();
          case BELOW_SMALLEST -> 0;
          case NOT_REACHED, LOST_AGAIN, NO_COMMON_LENGTH -> Double.NaN;
        };
    String text = Wording.crossover(crossover);
    return Double.isNaN(value)
        ? new Cell(text, "")
        : new Cell(text, Cell.number("", value).value());
  }

  private static Cell exponent(Optional<ScalingFit> fit) {
    return fit.map(f -> Cell.number(Wording.exponent(f), f.exponent())).orElse(new Cell("–", ""));
  }

  /// One row per mechanism, setting and length, with everything that was measured.
  static Table points(PanelAnswer answer) {
    StudyView view = answer.panel().view();
    List<Column> columns = new ArrayList<>();
    columns.add(text("mechanism", "mechanism"));
    columns.add(text("spec", "spec"));
    columns.add(number("n", "n"));
    for (Metric metric : view.metrics()) {
      columns.add(number(view.title(metric), metric.key()));
    }
    columns.add(text("fronts", "fronts"));
    List<List<Cell>> rows = new ArrayList<>();
    Map<Integer, List<Series>> byTime = new TreeMap<>();
    Map<Integer, List<Series>> byBytes = new TreeMap<>();
    for (int n : answer.panel().lengths()) {
      byTime.put(n, answer.front(n, Point::seconds));
      byBytes.put(n, answer.front(n, Point::countedBytes));
    }
    for (Series series : answer.panel().series()) {
      for (Point point : series.points()) {
        boolean time = byTime.getOrDefault(point.n(), List.of()).contains(series);
        boolean bytes = byBytes.getOrDefault(point.n(), List.of()).contains(series);
        String fronts = time && bytes ? "time, memory" : time ? "time" : bytes ? "memory" : "";
        rows.add(pointRow(view, series, point, fronts));
      }
    }
    return new Table("points", columns, rows);
  }

  private static List<Cell> pointRow(StudyView view, Series series, Point point, String fronts) {
    List<Cell> row = new ArrayList<>();
    row.add(Cell.text(series.label()));
    row.add(Cell.text(series.spec()));
    row.add(Cell.number(Wording.length(point.n()), point.n()));
    for (Metric metric : view.metrics()) {
      row.add(cell(metric, point));
    }
    row.add(Cell.text(fronts));
    return row;
  }

  /// A number of a point, or why there is none.
  static Cell cell(Metric metric, Point point) {
    double value = metric.of(point);
    String absence = Double.isNaN(value) ? metric.absence().apply(point) : "";
    return absence.isEmpty()
        ? Cell.number(metric.unit().text(value), value)
        : new Cell(absence, "");
  }

  /// The columns of the table of all points that people read, as far as they are filled; the others
  /// are in the CSV file.
  static Table shown(StudyView view, Table points) {
    List<String> keys = new ArrayList<>(List.of("mechanism", "n"));
    view.metrics().stream().filter(Metric::shown).map(Metric::key).forEach(keys::add);
    keys.add("fronts");
    return points.select("points", keys.toArray(String[]::new)).withoutEmptyColumns();
  }

  /// What the input is like, per length.
  static Table inputs(PanelAnswer answer) {
    List<Column> columns =
        List.of(
            number("n", "n"),
            number("entropy of a row (sampled rows), nats", "entropy_nats"),
            number("of a uniform row", "uniform_entropy_nats"),
            number("effective rank", "effective_rank"),
            text("mass on the top keys", "top_mass"));
    Map<Integer, ResultRecord.Input> byLength = new TreeMap<>();
    for (Series series : answer.panel().series()) {
      for (Point point : series.points()) {
        ResultRecord.Input input = point.first().input();
        if (input.entropy() != null) {
          byLength.putIfAbsent(point.n(), input);
        }
      }
    }
    List<List<Cell>> rows = new ArrayList<>();
    byLength.forEach(
        (n, input) -> {
          List<String> mass = new ArrayList<>();
          if (input.topMass() != null) {
            new TreeMap<>(input.topMass())
                .forEach((keys, share) -> mass.add("top " + keys + ": " + Wording.percent(share)));
          }
          rows.add(
              List.of(
                  Cell.number(Wording.length(n), n),
                  digits(orNaN(input.entropy())),
                  digits(orNaN(input.uniformEntropy())),
                  digits(orNaN(input.effectiveRank())),
                  Cell.text(String.join(", ", mass))));
        });
    return new Table("input", columns, rows);
  }

  /// Points that were skipped, failed, or never became steady.
  static Table missing(Panel panel) {
    List<Column> columns =
        List.of(
            text("mechanism", "mechanism"),
            number("n", "n"),
            text("status", "status"),
            text("reason", "reason"));
    List<List<Cell>> rows = new ArrayList<>();
    for (ResultRecord record : panel.missing()) {
      rows.add(
          List.of(
              Cell.text(Labels.of(record)),
              Cell.number(Wording.length(record.shape().n()), record.shape().n()),
              Cell.text(record.status().name().toLowerCase(Locale.ROOT)),
              Cell.text(record.reason() == null ? "no reason given" : record.reason())));
    }
    for (ResultRecord record : panel.unsteady()) {
      rows.add(
          List.of(
              Cell.text(Labels.of(record)),
              Cell.number(Wording.length(record.shape().n()), record.shape().n()),
              Cell.text("unsteady"),
              Cell.text(record.unsteadiness())));
    }
    return new Table("missing", columns, rows);
  }

  /// What every mechanism of the catalogue can do.
  static Table capabilities() {
    List<Column> columns =
        List.of(
            text("mechanism", "mechanism"),
            text("family", "family"),
            text("approximates", "approximates"),
            text("causal", "causal"),
            text("key padding", "key_padding"),
            text("nq ≠ nk", "cross_attention"),
            text("grouped heads", "grouped_queries"),
            text("dv ≠ d", "value_dim"),
            text("decoding", "decoding"),
            text("gradients", "gradients"),
            text("time", "time"),
            text("memory", "memory"),
            text("exact when", "exactness"));
    List<List<Cell>> rows = new ArrayList<>();
    for (MechanismType type : Catalogue.all()) {
      Capabilities can = type.defaults().capabilities();
      rows.add(
          List.of(
              new Cell(type.mechanism().title(), type.name()),
              token(type.mechanism().family()),
              token(type.mechanism().approximates()),
              token(can.causal()),
              padding(can, type),
              yes(can.crossAttention()),
              yes(can.groupedQueries()),
              yes(can.valueDim()),
              yes(can.decoding()),
              yes(can.gradients()),
              Cell.text(type.mechanism().time()),
              Cell.text(type.mechanism().memory()),
              Cell.text(type.mechanism().exactness())));
    }
    return new Table("capabilities", columns, rows);
  }

  /// Which padding is honoured, and what it does to a state that is carried along.
  private static Cell padding(Capabilities can, MechanismType type) {
    Cell which = token(can.keyPadding());
    String what = type.mechanism().padding();
    return what.isEmpty() ? which : Cell.text(which.text() + ": it " + what);
  }

  private static Cell yes(boolean can) {
    return Cell.text(can ? "yes" : "–");
  }

  private static Cell token(Enum<?> value) {
    return Cell.text(value.name().toLowerCase(Locale.ROOT).replace('_', ' '));
  }

  private static Cell digits(double value) {
    return Cell.number(Wording.digits(value), value);
  }

  private static double orNaN(@Nullable Double value) {
    return value == null ? Double.NaN : value;
  }

  private static Column text(String title, String key) {
    return new Column(title, key, false);
  }

  private static Column number(String title, String key) {
    return new Column(title, key, true);
  }
}
