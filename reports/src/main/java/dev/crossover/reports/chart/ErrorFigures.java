// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.error.KnobCurve;
import dev.crossover.bench.error.PlaceStudy;
import dev.crossover.bench.error.Spectrum;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.LogPlot.Axis;
import dev.crossover.reports.chart.LogPlot.Quantity;
import dev.crossover.reports.chart.Palette.Look;
import dev.crossover.reports.study.ErrorReport;
import dev.crossover.reports.study.ErrorReport.Features;
import dev.crossover.reports.study.ErrorReport.Panel;
import java.awt.Color;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.Function;

/// The figures of an error study.
public final class ErrorFigures {
  private static final Color INK = new Color(0x16181d);
  private static final double LEAST_SHARE = 1e-4;

  /// Looks of the variants of one mechanism, which share a chart: hue, marker and dash all differ.
  private static final List<Look> VARIANTS =
      List.of(
          Palette.look("longformer", 0),
          Palette.look("cosine", 0),
          Palette.look("linear_transformer", 0),
          Palette.look("sparse_transformer", 1),
          Palette.look("linformer", 2),
          Palette.look("topk", 0));

  private final ErrorReport report;
  private final String origin;
  private final List<Figure> figures = new ArrayList<>();

  private ErrorFigures(ErrorReport report, String origin) {
    this.report = report;
    this.origin = origin;
  }

  /// Draws all figures of a study.
  ///
  /// @param origin command, machine, JDK and commit, put below every figure
  public static List<Figure> of(ErrorReport report, String origin) {
    ErrorFigures all = new ErrorFigures(report, origin);
    for (Panel panel : report.panels()) {
      String suffix = panel.problem().mask().isCausal() ? "causal" : "unmasked";
      all.knobs(panel, suffix);
      all.features(panel.features(), "features-" + suffix);
      all.places(panel, suffix);
      all.spectra(panel, suffix);
    }
    all.features(report.rate(), "features-rate");
    return List.copyOf(all.figures);
  }

  private void knobs(Panel panel, String suffix) {
    LogPlot plot =
        new LogPlot(new Axis("the parameter named in the legend", Quantity.LENGTH), error());
    for (KnobCurve curve : panel.knobs()) {
      Look look = Palette.look(mechanism(curve.spec()), 0);
      draw(plot, curve, look, false);
    }
    add(
        plot,
        "knobs-" + suffix,
        "Error against the parameter that buys accuracy",
        about(panel) + seeds());
  }

  private void features(Features features, String name) {
    LogPlot plot = new LogPlot(new Axis("features m", Quantity.LENGTH), error());
    for (int c = 0; c < features.curves().size(); c++) {
      draw(
          plot, features.curves().get(c), VARIANTS.get(c % VARIANTS.size()), name.endsWith("rate"));
    }
    if (!features.curves().isEmpty() && name.endsWith("rate")) {
      List<KnobCurve.Point> points = features.curves().getFirst().points();
      KnobCurve.Point last = points.getLast();
      plot.guide(
          "1/√m through the last point of the first",
          LogPlot.SOFT,
          LogPlot.DOTTED,
          points.stream()
              .map(
                  p ->
                      new double[] {
                        p.value(),
                        last.error().mean() * Math.sqrt((double) last.value() / p.value())
                      })
              .toList());
    }
    String mask = features.problem().mask().isCausal() ? "causal mask" : "no mask";
    add(
        plot,
        name,
        "Performer's feature maps",
        features.problem().input()
            + ", "
            + mask
            + ", n = "
            + Wording.length(features.problem().shape().querySeqLen())
            + seeds()
            + (name.endsWith("rate") ? "; slope of the upper half" : ""));
  }

  private static void draw(LogPlot plot, KnobCurve curve, Look look, boolean withSlope) {
    List<double[]> bars = new ArrayList<>();
    List<double[]> points = new ArrayList<>();
    for (KnobCurve.Point point : curve.points()) {
      points.add(new double[] {point.value(), point.error().mean()});
      if (point.error().high() > point.error().low()) {
        bars.add(new double[] {point.value(), point.error().low(), point.error().high()});
      }
    }
    String slope =
        withSlope ? curve.slope().map(x -> "   m^" + two(x.exponent()) + width(x)).orElse("") : "";
    plot.intervals(look, bars);
    plot.line(curve.label() + slope, look, points);
  }

  private static String width(KnobCurve.Slope slope) {
    double half = (slope.high() - slope.low()) / 2;
    return Double.isNaN(half) ? "" : " ± " + two(half);
  }

  private static String two(double value) {
    return String.format(Locale.ROOT, "%.2f", value + 0.0).replace('-', '−');
  }

  private void places(Panel panel, String suffix) {
    binned(
        panel,
        "position-" + suffix,
        "Error by the query's position",
        "query position, from",
        PlaceStudy::errorByPosition,
        "relative error of the rows from a position to its double",
        false);
    binned(
        panel,
        "distance-" + suffix,
        "Weight by the distance between query and key",
        "distance |i − j| + 1, from",
        PlaceStudy::ownMassByDistance,
        "sum of a row's weights from a distance to its double",
        true);
    binned(
        panel,
        "misplaced-" + suffix,
        "Misplaced weight by the distance between query and key",
        "distance |i − j| + 1, from",
        PlaceStudy::misplacedByDistance,
        "½ Σ |w − w*| of a row; the sum is the total variation",
        false);
  }

  private void binned(
      Panel panel,
      String name,
      String title,
      String axis,
      Function<PlaceStudy, List<Double>> values,
      String how,
      boolean withExact) {
    LogPlot plot = new LogPlot(new Axis(axis, Quantity.LENGTH), new Axis("share", Quantity.SHARE));
    if (withExact && !panel.places().isEmpty()) {
      plot.guide("Exact", INK, LogPlot.SOLID, points(panel.places().getFirst().massByDistance()));
    }
    Map<String, Integer> settings = new HashMap<>();
    for (PlaceStudy place : panel.places()) {
      String mechanism = mechanism(place.spec());
      int setting = settings.merge(mechanism, 1, Integer::sum) - 1;
      plot.line(label(place.spec()), Palette.look(mechanism, setting), points(values.apply(place)));
    }
    add(
        plot,
        name,
        title,
        about(panel, panel.positions()) + "; " + how + "; below 0.01 % not drawn");
  }

  private static List<double[]> points(List<Double> bins) {
    List<double[]> points = new ArrayList<>();
    for (int b = 0; b < bins.size(); b++) {
      if (bins.get(b) >= LEAST_SHARE) {
        points.add(new double[] {1 << b, bins.get(b)});
      }
    }
    return points;
  }

  private void spectra(Panel panel, String suffix) {
    LogPlot plot =
        new LogPlot(
            new Axis("number of largest singular values", Quantity.LENGTH),
            new Axis("share of their sum", Quantity.SHARE));
    for (int s = 0; s < panel.spectra().size(); s++) {
      Spectrum spectrum = panel.spectra().get(s);
      List<double[]> points = new ArrayList<>();
      int count = spectrum.cumulative().size();
      for (int i = 1; i <= count; i *= 2) {
        points.add(new double[] {i, spectrum.cumulative().get(i - 1)});
      }
      plot.line(
          spectrum.input()
              + ", head "
              + spectrum.head()
              + "   effective rank "
              + Wording.digits(spectrum.effectiveRank()),
          VARIANTS.get(s % VARIANTS.size()),
          points);
    }
    add(
        plot,
        "spectrum-" + suffix,
        "Spectrum of exact attention matrices",
        panel.maskName() + ", n = " + panel.positions() + "; after Linformer's figure 1");
  }

  /// What readers call a mechanism: its title and its parameters.
  public static String label(String spec) {
    int colon = spec.indexOf(':');
    String title = Labels.title(mechanism(spec));
    return colon < 0 ? title : title + ", " + spec.substring(colon + 1).replace(",", ", ");
  }

  private static String mechanism(String spec) {
    int colon = spec.indexOf(':');
    return colon < 0 ? spec : spec.substring(0, colon);
  }

  private static Axis error() {
    return new Axis("relative error", Quantity.SHARE);
  }

  private String seeds() {
    int seeds = report.wish().seeds();
    return seeds == 1 ? "" : "; geometric mean and 95 % interval over " + seeds + " seeds";
  }

  private static String about(Panel panel) {
    return about(panel, panel.problem().shape().querySeqLen());
  }

  private static String about(Panel panel, int n) {
    return panel.problem().input() + ", " + panel.maskName() + ", n = " + Wording.length(n);
  }

  private void add(LogPlot plot, String name, String title, String subtitle) {
    if (!plot.isEmpty()) {
      figures.add(new Figure(name, title, subtitle + plot.zeros(), origin, plot));
    }
  }
}
