// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Chart;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Metric;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.Picture;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.Roofline;
import dev.crossover.reports.answer.Series;
import dev.crossover.reports.answer.Unit;
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
    for (Chart chart : answer.panel().view().charts()) {
      switch (chart) {
        case Chart.Lines lines -> figures.lines(lines);
        case Chart.Front front -> figures.front(front);
        case Chart.Roof roof -> figures.roofline(roof);
      }
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

  /// A metric over lengths, with its interval and its fitted growth where it has them.
  private void lines(Chart.Lines chart) {
    Metric metric = chart.metric();
    Picture picture = chart.picture();
    LogPlot plot = new LogPlot(lengthAxis(), new Axis(picture.axis(), quantity(metric.unit())));
    List<String> without = new ArrayList<>();
    for (SeriesAnswer one : answer.series()) {
      Series series = one.series();
      if (picture.inexactOnly() && !inexact(series)) {
        if (series.approximates() == Approximates.NONE) {
          without.add(series.label());
        }
        continue;
      }
      Look look = look(series);
      String slope =
          picture.growth().apply(one).map(fit -> "   n^" + Wording.exponent(fit)).orElse("");
      if (!picture.range().isEmpty()) {
        plot.intervals(look, bars(series, picture.range().getFirst(), picture.range().getLast()));
      }
      plot.line(series.label() + slope, look, points(series, metric.value()));
    }
    if (picture.guide()) {
      peakLine(plot);
    }
    if (metric.timed()) {
      hollow(plot, metric);
    }
    add(
        plot,
        chart.file(),
        picture.figureTitle(),
        picture.figureHow()
            + (without.isEmpty()
                ? ""
                : "; approximates nothing, so has no error: " + String.join("; ", without)));
  }

  private static Quantity quantity(Unit unit) {
    return switch (unit) {
      case SECONDS -> Quantity.SECONDS;
      case BYTES -> Quantity.BYTES;
      case SHARE -> Quantity.SHARE;
      case COUNT, NUMBER, SCIENTIFIC, COSINE -> Quantity.NUMBER;
    };
  }

  /// Draws what never became steady, so that a gap in a curve is explained.
  private void hollow(LogPlot plot, Metric metric) {
    for (ResultRecord record : answer.panel().unsteady()) {
      Look look = looks.getOrDefault(record.spec(), Palette.look(Labels.core(record), 0));
      int n = record.shape().n();
      plot.hollow(look, new double[] {n, metric.of(new Point(n, List.of(record)))});
    }
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

  private void front(Chart.Front chart) {
    if (answer.panel().lengths().isEmpty()) {
      return;
    }
    int n = lastFullLength(answer.panel());
    ToDoubleFunction<Point> cost = chart.cost().value();
    String title = chart.costTitle();
    LogPlot plot =
        new LogPlot(
            new Axis(title.toLowerCase(Locale.ROOT), quantity(chart.cost().unit())),
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
        chart.file(),
        title + " against error at n = " + Wording.length(n),
        "down and left is better; exact baselines as vertical lines");
  }

  private static boolean inexact(Series one) {
    return one.approximates() == Approximates.SOFTMAX;
  }

  private void roofline(Chart.Roof chart) {
    if (answer.panel().lengths().isEmpty()) {
      return;
    }
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
        chart.file(),
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

  private static List<double[]> bars(Series series, Metric low, Metric high) {
    List<double[]> bars = new ArrayList<>();
    for (Point point : series.points()) {
      if (high.of(point) > low.of(point)) {
        bars.add(new double[] {point.n(), low.of(point), high.of(point)});
      }
    }
    return bars;
  }
}
