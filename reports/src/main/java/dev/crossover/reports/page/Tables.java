// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.attention.Capabilities;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.SampleStatistics;
import dev.crossover.reports.answer.Crossover;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.Roofline;
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
    columns.add(number(view.error() + " there", "relative_error"));
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
    row.add(error(one.series(), last.error()));
    row.add(Cell.number(Wording.seconds(last.seconds()), last.seconds()));
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
    double bytes = view.bytes(last);
    row.add(Cell.number(Wording.bytes(bytes), bytes));
    row.add(exponent(one.memoryFit()));
    for (String baseline : baselines(answer)) {
      row.add(crossover(one.memory().get(baseline)));
    }
    if (view.wholeSequence()) {
      Roofline roof = last.roofline();
      double gflops = roof == null ? Double.NaN : roof.gflops();
      row.add(Cell.number(Wording.digits(gflops), gflops));
      row.add(share(last));
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

  private static Cell error(Series series, double error) {
    return switch (series.approximates()) {
      case NONE -> new Cell("not applicable", "");
      default -> Cell.number(Wording.percent(error), error);
    };
  }

  /// One row per mechanism, setting and length, with everything that was measured.
  static Table points(PanelAnswer answer) {
    List<Column> columns =
        List.of(
            text("mechanism", "mechanism"),
            text("spec", "spec"),
            number("n", "n"),
            number("time", "seconds"),
            number("low", "seconds_low"),
            number("high", "seconds_high"),
            number("forks", "forks"),
            number("samples", "samples"),
            number("tokens/s", "tokens_per_second"),
            number(answer.panel().view().error(), "relative_error"),
            number("least", "relative_error_low"),
            number("most", "relative_error_high"),
            number("max abs", "max_abs_error"),
            number("cosine", "mean_cosine"),
            number("of ∂q", "grad_q_error"),
            number("of ∂k", "grad_k_error"),
            number("of ∂v", "grad_v_error"),
            number("counted", "counted_bytes"),
            number("scratch", "scratch_bytes"),
            number("parameters", "parameter_bytes"),
            number("kept", "kept_bytes"),
            number("state", "state_bytes"),
            number("allocated/call", "allocated_bytes"),
            number("first call allocated", "first_call_bytes"),
            number("construction allocated", "construction_bytes"),
            number("peak resident", "resident_bytes"),
            number("FLOPs", "flops"),
            number("bytes moved", "bytes_moved"),
            number("FLOPs/byte", "intensity"),
            number("GFLOP/s", "gflops"),
            number("of peak", "share_of_peak"),
            number("roof", "roof_gflops"),
            text("fronts", "fronts"));
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
        rows.add(pointRow(series, point, fronts));
      }
    }
    return new Table("points", columns, rows);
  }

  private static List<Cell> pointRow(Series series, Point point, String fronts) {
    ResultRecord record = point.first();
    ResultRecord.ErrorNorms norms = Double.isNaN(point.error()) ? null : record.error();
    ResultRecord.Memory memory = record.memory();
    SampleStatistics time = point.time();
    Roofline roof = point.roofline();
    double low = time == null ? Double.NaN : time.low();
    double high = time == null ? Double.NaN : time.high();
    int samples = point.samples().stream().mapToInt(List::size).sum();
    double scratch = memory == null ? Double.NaN : memory.countedScratchBytes();
    double parameters = memory == null ? Double.NaN : memory.parameterBytes();
    double tokens =
        record.study() == ResultRecord.Study.DECODE ? point.tokensPerSecond() : Double.NaN;
    return List.of(
        Cell.text(series.label()),
        Cell.text(series.spec()),
        Cell.number(Wording.length(point.n()), point.n()),
        Cell.number(Wording.seconds(point.seconds()), point.seconds()),
        Cell.number(Wording.seconds(low), low),
        Cell.number(Wording.seconds(high), high),
        count(point.forkMedians().size()),
        count(samples),
        digits(tokens),
        error(series, point.error()),
        error(series, point.errorLow()),
        error(series, point.errorHigh()),
        scientific(norms == null ? Double.NaN : norms.maxAbs()),
        cosine(norms == null ? Double.NaN : norms.meanCosine()),
        gradient(point, 0),
        gradient(point, 1),
        gradient(point, 2),
        bytes(point.countedBytes()),
        bytes(scratch),
        bytes(parameters),
        bytes(point.keptBytes()),
        bytes(point.stateBytes()),
        bytes(point.allocatedBytes()),
        bytes(point.firstCallBytes()),
        bytes(point.constructionBytes()),
        bytes(point.residentBytes()),
        scientific(point.flops()),
        bytes(point.bytesMoved()),
        digits(roof == null ? Double.NaN : roof.intensity()),
        digits(roof == null ? Double.NaN : roof.gflops()),
        share(point),
        digits(roof == null ? Double.NaN : roof.roof()),
        Cell.text(fronts));
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

  /// Share of the peak, or why there is none.
  static Cell share(Point point) {
    Roofline roof = point.roofline();
    String disturbance = point.disturbance();
    double share = roof == null ? Double.NaN : roof.shareOfPeak();
    return disturbance.isEmpty()
        ? Cell.number(Wording.percent(share), share)
        : new Cell("disturbed: " + disturbance, "");
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

  private static Cell gradient(Point point, int which) {
    double error = point.gradientErrors()[which];
    return Cell.number(Wording.percent(error), error);
  }

  private static Cell count(int value) {
    return Cell.number(Integer.toString(value), value);
  }

  private static Cell digits(double value) {
    return Cell.number(Wording.digits(value), value);
  }

  private static Cell bytes(double value) {
    return Cell.number(Wording.bytes(value), value);
  }

  private static Cell scientific(double value) {
    return Cell.number(String.format(Locale.ROOT, "%.2e", value), value);
  }

  private static Cell cosine(double value) {
    return Cell.number(String.format(Locale.ROOT, "%.4f", value), value);
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
