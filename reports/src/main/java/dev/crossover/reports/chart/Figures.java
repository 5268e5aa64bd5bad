// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.SampleStatistics;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.Roofline;
import dev.crossover.reports.answer.Series;
import dev.crossover.reports.answer.StudyView;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.LogPlot.Axis;
import dev.crossover.reports.chart.LogPlot.Quantity;
import dev.crossover.reports.chart.Palette.Look;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/// The figures of a panel.
public final class Figures {
  private final PanelAnswer answer;
  private final String prefix;
  private final String origin;
  private final Map<String, Look> looks;
  private final List<Figure> figures = new ArrayList<>();

  private Figures(PanelAnswer answer, String prefix, String origin) {
    this.answer = answer;
    this.prefix = prefix;
    this.origin = origin;
    this.looks = Palette.of(answer.panel().series());
  }

  /// Draws all figures a panel has data for.
  ///
  /// @param answer the panel's answers
  /// @param prefix start of every file name, lower-case letters, digits and hyphens
  /// @param origin command, machine, JDK and commit, put below every figure
  public static List<Figure> of(PanelAnswer answer, String prefix, String origin) {
    Figures figures = new Figures(answer, prefix, origin);
    figures.time();
    if (!answer.panel().view().wholeSequence()) {
      figures.tokens();
      figures.bytes("state", "State of a decoding session", Point::stateBytes, true);
    } else {
      figures.bytes("memory", "Counted memory beyond inputs and output", Point::countedBytes, true);
    }
    figures.error();
    figures.bytes("resident", "Peak resident set of the process", Point::residentBytes, false);
    figures.bytes("allocated", "Bytes allocated per call", Point::allocatedBytes, false);
    List<Integer> lengths = answer.panel().lengths();
    if (!lengths.isEmpty()) {
      int n = lastFullLength(answer.panel());
      figures.pareto(n, "time", "Time", Point::seconds, Quantity.SECONDS);
      figures.pareto(n, "memory", "Counted memory", Point::countedBytes, Quantity.BYTES);
    }
    if (answer.panel().view().wholeSequence()) {
      figures.roofline();
    }
    return List.copyOf(figures.figures);
  }

  /// The largest length at which most series were measured: where fronts are compared.
  public static int lastFullLength(Panel panel) {
    int best = panel.lengths().getLast();
    int most = 0;
    for (int n : panel.lengths()) {
      int there = Math.toIntExact(panel.series().stream().filter(s -> s.at(n).isPresent()).count());
      if (there >= most) {
        most = there;
        best = n;
      }
    }
    return best;
  }

  private Look look(Series series) {
    return Objects.requireNonNull(looks.get(series.spec()), series.spec());
  }

  private void time() {
    StudyView view = answer.panel().view();
    LogPlot plot = new LogPlot(lengthAxis(), new Axis("time per " + view.unit(), Quantity.SECONDS));
    for (SeriesAnswer one : answer.series()) {
      Look look = look(one.series());
      String slope = one.timeFit().map(fit -> "   n^" + Wording.exponent(fit)).orElse("");
      plot.intervals(look, timeBars(one.series()));
      plot.line(one.series().label() + slope, look, points(one.series(), Point::seconds));
    }
    peakLine(plot);
    hollow(plot, Figures::seconds);
    add(
        plot,
        "time",
        view == StudyView.FORWARD
            ? "Time against sequence length"
            : "Time per " + view.unit() + " against " + view.length().replace(" n", ""),
        "median and 95 % interval over forks; fitted slope with its 95 % interval in the legend");
  }

  /// Draws what never became steady, so that a gap in a curve is explained.
  private void hollow(LogPlot plot, ToDoubleFunction<ResultRecord> value) {
    for (ResultRecord record : answer.panel().unsteady()) {
      Look look = looks.getOrDefault(record.spec(), Palette.look(Labels.core(record), 0));
      plot.hollow(look, new double[] {record.shape().n(), value.applyAsDouble(record)});
    }
  }

  private static double seconds(ResultRecord record) {
    return record.time() == null ? Double.NaN : record.time().median();
  }

  private void peakLine(LogPlot plot) {
    double peak = answer.peakGflops();
    Optional<Series> tiled = answer.panel().baseline("tiled");
    if (tiled.isPresent() && peak > 0) {
      plot.guide(
          "tiled's work at measured peak, " + Wording.digits(peak) + " GFLOP/s",
          LogPlot.SOFT,
          LogPlot.DOTTED,
          points(tiled.get(), p -> p.flops() / (peak * 1e9)));
    }
  }

  private void tokens() {
    LogPlot plot = new LogPlot(lengthAxis(), new Axis("tokens per second", Quantity.NUMBER));
    for (Series one : answer.panel().series()) {
      Look look = look(one);
      List<double[]> bars = new ArrayList<>();
      for (double[] bar : timeBars(one)) {
        double batch = one.points().getFirst().first().shape().batch();
        bars.add(new double[] {bar[0], batch / bar[2], batch / bar[1]});
      }
      plot.intervals(look, bars);
      plot.line(one.label(), look, points(one, Point::tokensPerSecond));
    }
    hollow(plot, record -> record.shape().batch() / seconds(record));
    add(
        plot,
        "tokens",
        "Decoding speed against context length",
        "median and 95 % interval over forks");
  }

  private void bytes(String name, String title, ToDoubleFunction<Point> bytes, boolean withSlope) {
    LogPlot plot = new LogPlot(lengthAxis(), new Axis("bytes", Quantity.BYTES));
    for (SeriesAnswer one : answer.series()) {
      String slope =
          withSlope ? one.memoryFit().map(fit -> "   n^" + Wording.exponent(fit)).orElse("") : "";
      plot.line(one.series().label() + slope, look(one.series()), points(one.series(), bytes));
    }
    String how =
        switch (name) {
          case "resident" ->
              "largest resident set of a process that measured this point alone, Linux; coarse";
          case "allocated" -> "garbage of one call in steady state, about zero by design";
          default -> "exact: counted by the allocator";
        };
    add(plot, name, title, how);
  }

  private void error() {
    StudyView view = answer.panel().view();
    LogPlot plot = new LogPlot(lengthAxis(), new Axis("relative " + view.error(), Quantity.SHARE));
    List<String> without = new ArrayList<>();
    for (Series one : answer.panel().series()) {
      switch (one.approximates()) {
        case NONE -> without.add(one.label());
        case EXACT -> {}
        case SOFTMAX -> {
          Look look = look(one);
          List<double[]> bars = new ArrayList<>();
          one.points().stream()
              .filter(p -> p.errorHigh() > p.errorLow())
              .forEach(p -> bars.add(new double[] {p.n(), p.errorLow(), p.errorHigh()}));
          plot.intervals(look, bars);
          plot.line(one.label(), look, points(one, Point::error));
        }
      }
    }
    add(
        plot,
        "error",
        view.errorTitle(),
        view.errorHow().replace("‖", "||")
            + (without.isEmpty()
                ? ""
                : "; approximates nothing, so has no error: " + String.join("; ", without)));
  }

  private void pareto(
      int n, String name, String title, ToDoubleFunction<Point> cost, Quantity quantity) {
    LogPlot plot =
        new LogPlot(
            new Axis(title.toLowerCase(Locale.ROOT), quantity),
            new Axis("relative " + answer.panel().view().error(), Quantity.SHARE));
    List<double[]> front = new ArrayList<>();
    double highest = 0;
    for (Series one : answer.panel().series()) {
      Point point = one.at(n).orElse(null);
      if (point != null && inexact(one) && point.error() > 0) {
        highest = Math.max(highest, point.error());
      }
    }
    double lowest = highest;
    for (Series one : answer.panel().series()) {
      Point point = one.at(n).orElse(null);
      if (point == null || !inexact(one)) {
        continue;
      }
      if (point.error() == 0 || cost.applyAsDouble(point) == 0) {
        plot.zero(one.label());
      }
      if (!(point.error() > 0 && cost.applyAsDouble(point) > 0)) {
        continue;
      }
      lowest = Math.min(lowest, point.error());
      plot.dots(
          one.label(), look(one), List.of(new double[] {cost.applyAsDouble(point), point.error()}));
    }
    for (Series one : answer.front(n, cost)) {
      if (inexact(one)) {
        Point point = one.at(n).orElseThrow();
        if (!front.isEmpty()) {
          front.add(new double[] {cost.applyAsDouble(point), front.getLast()[1]});
        }
        front.add(new double[] {cost.applyAsDouble(point), point.error()});
      }
    }
    if (plot.isEmpty()) {
      return;
    }
    double exact =
        answer.front(n, cost).stream()
            .filter(s -> s.approximates() == Approximates.EXACT)
            .mapToDouble(s -> cost.applyAsDouble(s.at(n).orElseThrow()))
            .min()
            .orElse(Double.NaN);
    if (!front.isEmpty() && exact > front.getLast()[0]) {
      front.add(new double[] {exact, front.getLast()[1]});
      front.add(new double[] {exact, lowest / 1.5});
    }
    plot.guide("front: nothing is better in both", LogPlot.SOFT, LogPlot.SOLID, front);
    for (Series one : answer.panel().series()) {
      Point point = one.at(n).orElse(null);
      if (point != null && PanelAnswer.BASELINES.contains(one.mechanism())) {
        double at = cost.applyAsDouble(point);
        plot.guide(
            one.label() + " (exact)",
            look(one).color(),
            LogPlot.DOTTED,
            List.of(new double[] {at, lowest / 1.5}, new double[] {at, highest * 1.5}));
      }
    }
    add(
        plot,
        "pareto-" + name,
        title + " against error at n = " + Wording.length(n),
        "down and left is better; exact baselines as vertical lines");
  }

  private static boolean inexact(Series one) {
    return one.approximates() == Approximates.SOFTMAX;
  }

  private void roofline() {
    double peak = answer.peakGflops();
    double bandwidth = answer.bandwidth();
    int n = lastFullLength(answer.panel());
    LogPlot plot =
        new LogPlot(
            new Axis("counted FLOPs per counted byte", Quantity.NUMBER),
            new Axis("GFLOP/s", Quantity.NUMBER));
    double least = Double.POSITIVE_INFINITY;
    double most = 0;
    for (Series one : answer.panel().series()) {
      Roofline place = one.at(n).map(Point::roofline).orElse(null);
      if (place != null) {
        least = Math.min(least, place.intensity());
        most = Math.max(most, place.intensity());
        String share =
            Double.isNaN(place.shareOfPeak())
                ? ""
                : ", " + Wording.percent(place.shareOfPeak()) + " of peak";
        plot.dots(
            one.label() + "   " + Wording.digits(place.gflops()) + " GFLOP/s" + share,
            look(one),
            List.of(new double[] {place.intensity(), place.gflops()}));
      }
    }
    if (plot.isEmpty() || !(peak > 0 && bandwidth > 0)) {
      return;
    }
    double ridge = peak / bandwidth;
    double from = Math.min(least, ridge) / 2;
    plot.guide(
        "measured roof: "
            + Wording.digits(peak)
            + " GFLOP/s, "
            + Wording.digits(bandwidth)
            + " GB/s",
        LogPlot.SOFT,
        LogPlot.SOLID,
        List.of(
            new double[] {from, from * bandwidth},
            new double[] {ridge, peak},
            new double[] {Math.max(most, ridge) * 2, peak}));
    add(
        plot,
        "roofline",
        "Counted work against what the machine can do, n = " + Wording.length(n),
        "counted FLOPs and bytes over measured time; roof measured in the same run");
  }

  private void add(LogPlot plot, String name, String title, String how) {
    if (!plot.isEmpty()) {
      Panel panel = answer.panel();
      String subtitle = panel.title() + " · " + panel.sizes() + " · " + how + plot.zeros();
      figures.add(new Figure(prefix + "-" + name, title, subtitle, origin, plot));
    }
  }

  private Axis lengthAxis() {
    return new Axis(answer.panel().view().length(), Quantity.LENGTH);
  }

  private static List<double[]> points(Series series, ToDoubleFunction<Point> value) {
    return series.points().stream().map(p -> new double[] {p.n(), value.applyAsDouble(p)}).toList();
  }

  private static List<double[]> timeBars(Series series) {
    List<double[]> bars = new ArrayList<>();
    for (Point point : series.points()) {
      SampleStatistics time = point.time();
      if (time != null && time.high() > time.low()) {
        bars.add(new double[] {point.n(), time.low(), time.high()});
      }
    }
    return bars;
  }
}
