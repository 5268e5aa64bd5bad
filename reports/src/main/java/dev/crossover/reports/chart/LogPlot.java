// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.Palette.Look;
import java.awt.BasicStroke;
import java.awt.Color;
import java.util.ArrayList;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Locale;
import java.util.Set;
import org.jspecify.annotations.Nullable;
import org.knowm.xchart.XYChart;
import org.knowm.xchart.XYChartBuilder;
import org.knowm.xchart.XYSeries;
import org.knowm.xchart.XYSeries.XYSeriesRenderStyle;
import org.knowm.xchart.style.Styler.LegendLayout;
import org.knowm.xchart.style.Styler.LegendPosition;
import org.knowm.xchart.style.XYStyler;
import org.knowm.xchart.style.lines.SeriesLines;
import org.knowm.xchart.style.markers.Marker;
import org.knowm.xchart.style.markers.SeriesMarkers;

/// A chart with two logarithmic axes, in the one style of all our charts; accuracies are on a
/// linear one.
///
/// XChart's own logarithmic axes label decades only, so values are plotted as logarithms on linear
/// axes whose ticks are named here. Points that have no logarithm are left out.
final class LogPlot {
  /// Width of a chart in pixels.
  static final int WIDTH = 1120;

  /// Colour of guides: fronts, bounds and chance.
  static final Color SOFT = new Color(0x9aa0aa);

  /// Dash of a guide that is no measurement.
  static final float[] DOTTED = {2, 4};

  /// Dash of an unbroken guide.
  static final float[] SOLID = {};

  private static final int LEAST_HEIGHT = 560;
  private static final int LEGEND_ROW = 23;
  private static final Color INK = new Color(0x2b2f36);
  private static final Color FAINT = new Color(0xe6e8ec);
  private static final double WIDE = 150;
  private static final String HOLLOW = "hollow: not steady, no result";

  /// What an axis shows.
  enum Quantity {
    /// Sequence lengths: powers of two are named, nothing between them.
    LENGTH,
    /// Seconds.
    SECONDS,
    /// Bytes, in powers of two.
    BYTES,
    /// Shares, shown as percentages.
    SHARE,
    /// Accuracies from 0 to 1, on a linear axis.
    ACCURACY,
    /// Plain numbers.
    NUMBER;

    private String name(double value) {
      String text =
          switch (this) {
            case LENGTH -> Wording.length((int) Math.rint(value));
            case SECONDS -> Wording.seconds(value);
            case BYTES -> Wording.bytes(value);
            case SHARE -> Wording.percent(value);
            case NUMBER -> Wording.digits(value);
            case ACCURACY -> String.format(Locale.ROOT, "%.2f", value);
          };
      return text.replaceAll("(\\.\\d*?)0+(?=\\D|$)", "$1").replaceAll("\\.(?=\\D|$)", "");
    }

    /// The value whose multiples by powers of two are round when written down.
    private double unit(double least) {
      return switch (this) {
        case SECONDS, NUMBER -> Math.pow(1000, Math.floor(Math.log10(least) / 3));
        case SHARE -> 0.01;
        default -> 1;
      };
    }
  }

  /// One axis.
  ///
  /// @param title what it shows
  /// @param quantity how values are written
  record Axis(String title, Quantity quantity) {}

  /// The logarithm of an axis: decades over wide ranges, powers of two over narrow ones.
  private record Scale(Quantity quantity, double base, double unit, double low, double high) {
    private static final double MARGIN = 0.04;

    static Scale of(Quantity quantity, double least, double most) {
      if (quantity == Quantity.ACCURACY) {
        return new Scale(quantity, 1, 1, -MARGIN, 1 + MARGIN);
      }
      boolean binary =
          quantity == Quantity.LENGTH || quantity == Quantity.BYTES || most < WIDE * least;
      double base = binary ? 2 : 10;
      double unit = binary ? quantity.unit(least) : 1;
      double low = Math.log(least / unit) / Math.log(base);
      double high = Math.log(most / unit) / Math.log(base);
      double pad = Math.max(0.045 * (high - low), quantity == Quantity.LENGTH ? 0.1 : 0.15);
      return new Scale(quantity, base, unit, low - pad, high + pad);
    }

    double log(double value) {
      if (quantity == Quantity.ACCURACY) {
        return value;
      }
      return Math.log(value / unit) / Math.log(base);
    }

    /// Text of a tick; blank between lengths. XChart draws no tick at all when both ends of an axis
    /// have the same text, so blanks differ between the lower and the upper half.
    String tick(double log) {
      if (quantity == Quantity.ACCURACY) {
        return quantity.name(log);
      }
      boolean hidden = quantity == Quantity.LENGTH && Math.abs(log - Math.rint(log)) > 1e-6;
      if (hidden) {
        return log < (low + high) / 2 ? " " : "  ";
      }
      return quantity.name(unit * Math.pow(base, log));
    }

    /// A spacing that makes XChart step by one unit of the logarithm where that leaves labels room.
    int hint(int pixels, int least) {
      double span = high - low;
      boolean parts = quantity != Quantity.LENGTH && span < 2;
      return (int) Math.max(least, parts ? least : 0.95 * pixels / span);
    }
  }

  private record Drawn(
      @Nullable String legend,
      Color color,
      @Nullable BasicStroke stroke,
      @Nullable Marker marker,
      List<double[]> points) {}

  private final Axis x;
  private final Axis y;
  private final List<Drawn> drawn = new ArrayList<>();
  private final Set<String> zeros = new LinkedHashSet<>();
  private int legendRows;

  LogPlot(Axis x, Axis y) {
    this.x = x;
    this.y = y;
  }

  /// A line with markers; points without a logarithm are left out, zeros among them told by
  /// [#zeros].
  LogPlot line(String legend, Look look, List<double[]> points) {
    return add(legend, look.color(), look.stroke(), look.marker().marker(), points);
  }

  /// Markers without a line.
  LogPlot dots(String legend, Look look, List<double[]> points) {
    return add(legend, look.color(), null, look.marker().marker(), points);
  }

  /// Outlines of markers, for points that are no result; one entry of the legend explains all.
  LogPlot hollow(Look look, double[] point) {
    if (plottable(point[0], point[1])) {
      boolean first = drawn.stream().noneMatch(one -> HOLLOW.equals(one.legend()));
      legendRows += first ? 1 : 0;
      drawn.add(
          new Drawn(
              first ? HOLLOW : null, look.color(), null, look.marker().hollow(), List.of(point)));
    }
    return this;
  }

  /// A thin guide without markers.
  LogPlot guide(String legend, Color color, float[] dash, List<double[]> points) {
    float width = 1.6f;
    BasicStroke stroke =
        dash.length == 0
            ? new BasicStroke(width)
            : new BasicStroke(width, BasicStroke.CAP_BUTT, BasicStroke.JOIN_ROUND, 1, dash, 0);
    return add(legend, color, stroke, null, points);
  }

  /// Vertical bars from low to high at each x, without an entry in the legend.
  ///
  /// @param bars x, low, high
  LogPlot intervals(Look look, List<double[]> bars) {
    List<double[]> ends = new ArrayList<>();
    for (double[] bar : bars) {
      if (plottable(bar[0], bar[1]) && plottable(bar[0], bar[2])) {
        ends.add(new double[] {bar[0], bar[1]});
        ends.add(new double[] {bar[0], bar[2]});
        ends.add(new double[] {bar[0], Double.NaN});
      }
    }
    if (!ends.isEmpty()) {
      drawn.add(new Drawn(null, look.color(), new BasicStroke(1.4f), null, ends));
    }
    return this;
  }

  /// Remembers that something lies at zero.
  void zero(String legend) {
    zeros.add(legend);
  }

  /// What has points at zero, which a logarithmic axis does not have: `; zero at some points, which
  /// are not drawn: X`; empty when there is none.
  String zeros() {
    return zeros.isEmpty()
        ? ""
        : "; zero at some points, which are not drawn: " + String.join("; ", zeros);
  }

  /// Whether nothing has been drawn.
  boolean isEmpty() {
    return legendRows == 0;
  }

  /// Height in pixels that leaves room for the legend.
  int height() {
    return Math.max(LEAST_HEIGHT, 60 + LEGEND_ROW * legendRows);
  }

  /// The finished chart.
  XYChart finish() {
    Fonts.regular(12);
    XYChart chart =
        new XYChartBuilder()
            .width(WIDTH)
            .height(height())
            .xAxisTitle(x.title())
            .yAxisTitle(y.title())
            .build();
    Scale scaleX = scale(x.quantity(), 0);
    Scale scaleY = scale(y.quantity(), 1);
    style(chart.getStyler(), scaleX, scaleY);
    int number = 0;
    for (Drawn one : drawn) {
      List<Double> xs = new ArrayList<>();
      List<Double> ys = new ArrayList<>();
      for (double[] point : one.points()) {
        xs.add(scaleX.log(point[0]));
        ys.add(Double.isNaN(point[1]) ? Double.NaN : scaleY.log(point[1]));
      }
      XYSeries series = chart.addSeries("series " + number++, xs, ys);
      series.setLabel(one.legend() == null ? " " : printable(one.legend()));
      series.setShowInLegend(one.legend() != null);
      series.setLineStyle(one.stroke() == null ? SeriesLines.NONE : one.stroke());
      series.setLineColor(one.color());
      series.setMarker(one.marker() == null ? SeriesMarkers.NONE : one.marker());
      series.setMarkerColor(one.color());
    }
    return chart;
  }

  private Scale scale(Quantity quantity, int coordinate) {
    double least = Double.POSITIVE_INFINITY;
    double most = 0;
    for (Drawn one : drawn) {
      for (double[] point : one.points()) {
        if (!Double.isNaN(point[coordinate])) {
          least = Math.min(least, point[coordinate]);
          most = Math.max(most, point[coordinate]);
        }
      }
    }
    return Scale.of(quantity, least, most);
  }

  private static void style(XYStyler style, Scale scaleX, Scale scaleY) {
    style.setChartTitleVisible(false);
    style.setChartBackgroundColor(Color.WHITE);
    style.setPlotBackgroundColor(Color.WHITE);
    style.setPlotBorderVisible(false);
    style.setPlotGridLinesColor(FAINT);
    style.setPlotGridLinesStroke(new BasicStroke(1));
    style.setPlotContentSize(0.98);
    style.setChartPadding(14);
    style.setMarkerSize(9);
    style.setBaseFont(Fonts.regular(13));
    style.setAxisTitleFont(Fonts.bold(13));
    style.setAxisTickLabelsFont(Fonts.regular(13));
    style.setChartFontColor(INK);
    style.setAxisTickLabelsColor(INK);
    style.setAxisTickMarksColor(new Color(0xb6bbc4));
    style.setAxisTickPadding(8);
    style.setAxisTitlePadding(10);
    style.setLegendFont(Fonts.regular(13));
    style.setLegendLayout(LegendLayout.Vertical);
    style.setLegendPosition(LegendPosition.OutsideE);
    style.setLegendBorderColor(Color.WHITE);
    style.setLegendBackgroundColor(Color.WHITE);
    style.setLegendPadding(7);
    style.setLegendSeriesLineLength(34);
    style.setLocale(Locale.ROOT);
    style.setDefaultSeriesRenderStyle(XYSeriesRenderStyle.Line);
    style.setXAxisMin(scaleX.low());
    style.setXAxisMax(scaleX.high());
    style.setYAxisMin(scaleY.low());
    style.setYAxisMax(scaleY.high());
    style.setXAxisTickLabelsFormattingFunction(scaleX::tick);
    style.setYAxisTickLabelsFormattingFunction(scaleY::tick);
    style.setXAxisTickMarkSpacingHint(scaleX.hint(760, 68));
    style.setYAxisTickMarkSpacingHint(scaleY.hint(440, 46));
  }

  private LogPlot add(
      String legend,
      Color color,
      @Nullable BasicStroke stroke,
      @Nullable Marker marker,
      List<double[]> points) {
    List<double[]> kept = points.stream().filter(p -> plottable(p[0], p[1])).toList();
    if (points.stream().anyMatch(p -> !plottable(p[0], p[1]) && (p[0] == 0 || p[1] == 0))) {
      zero(legend.replaceFirst(" {3}.*", ""));
    }
    if (!kept.isEmpty()) {
      drawn.add(new Drawn(legend, color, stroke, marker, kept));
      legendRows++;
    }
    return this;
  }

  private boolean plottable(double atX, double atY) {
    return atX > 0
        && (atY > 0 || atY == 0 && y.quantity() == Quantity.ACCURACY)
        && Double.isFinite(atX)
        && Double.isFinite(atY);
  }

  /// One line; dollar signs would be read as a formula.
  private static String printable(String text) {
    return text.replaceAll("\\p{Cntrl}", " ").replace('$', '§');
  }
}
