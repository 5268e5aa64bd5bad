// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Chart;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Metric;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.StudyView;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.Figures;
import dev.crossover.reports.chart.Palette;
import dev.crossover.reports.chart.Palette.Look;
import java.math.BigDecimal;
import java.math.MathContext;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.ToDoubleFunction;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// What the page's script draws, as JSON that is safe inside a script element.
final class PageData {
  private static final MathContext DIGITS = new MathContext(6);

  private PageData() {}

  /// The panels' data; absent numbers are `null`.
  static String json(List<PanelAnswer> answers) {
    List<Map<String, Object>> panels = answers.stream().map(PageData::panel).toList();
    return safe(RecordJson.write(Map.of("panels", panels)));
  }

  /// JSON that cannot end the script element it stands in.
  static String safe(String json) {
    return json.replace("<", "\\u003c")
        .replace(">", "\\u003e")
        .replace("&", "\\u0026")
        .replace("\u2028", "\\u2028")
        .replace("\u2029", "\\u2029");
  }

  private static Map<String, Object> panel(PanelAnswer answer) {
    Panel panel = answer.panel();
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("title", panel.title());
    data.put("decoding", panel.decoding());
    data.put("at", panel.view().at());
    data.put("length", panel.view().length());
    data.put("errorWord", panel.view().error());
    data.put("bytesWord", panel.view().bytes());
    data.put("memory", panel.view().memory().key());
    data.put(
        "lengths",
        Stream.concat(panel.lengths().stream(), panel.unsteady().stream().map(r -> r.shape().n()))
            .distinct()
            .sorted()
            .toList());
    data.put("frontAt", panel.lengths().isEmpty() ? 0 : Figures.lastFullLength(panel));
    put(data, "peak", answer.peakGflops());
    put(data, "bandwidth", answer.bandwidth());
    double peak = answer.peakGflops();
    panel
        .baseline("tiled")
        .filter(t -> peak > 0)
        .ifPresent(
            tiled -> {
              data.put("peakN", tiled.points().stream().map(Point::n).toList());
              data.put("peakT", numbers(tiled.points(), p -> p.flops() / (peak * 1e9)));
              data.put("peakLabel", Wording.digits(peak) + " GFLOP/s");
            });
    Map<String, Look> looks = Palette.of(panel.series());
    List<Map<String, Object>> series = new ArrayList<>();
    for (SeriesAnswer one : answer.series()) {
      String spec = one.series().spec();
      series.add(series(panel.view(), one, Objects.requireNonNull(looks.get(spec), spec)));
    }
    data.put("series", series);
    Map<String, Object> charts = new LinkedHashMap<>();
    for (Chart chart : panel.view().charts()) {
      if (chart instanceof Chart.Lines lines && lines.onPage()) {
        charts.put(lines.file(), lines(lines));
      }
    }
    data.put("charts", charts);
    data.put(
        "unsteady", panel.unsteady().stream().map(r -> unsteady(panel.view(), r, looks)).toList());
    return data;
  }

  /// Which values a chart over lengths draws, and how.
  private static Map<String, Object> lines(Chart.Lines lines) {
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("y", lines.metric().key());
    if (!lines.picture().range().isEmpty()) {
      data.put("low", lines.picture().range().getFirst().key());
      data.put("high", lines.picture().range().getLast().key());
    }
    data.put("unit", lines.metric().unit().name().toLowerCase(Locale.ROOT));
    data.put("inexactOnly", lines.picture().inexactOnly());
    data.put("guide", lines.picture().guide());
    data.put("hollow", lines.metric().timed());
    return data;
  }

  /// A point that is drawn hollow.
  private static Map<String, Object> unsteady(
      StudyView view, ResultRecord record, Map<String, Look> looks) {
    Look look = looks.getOrDefault(record.spec(), Palette.look(Labels.core(record), 0));
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("spec", record.spec());
    data.put("light", look.light());
    data.put("dark", look.dark());
    data.put("marker", look.marker().name().toLowerCase(Locale.ROOT));
    data.put("n", record.shape().n());
    Map<String, Object> values = new LinkedHashMap<>();
    Point point = new Point(record.shape().n(), List.of(record));
    view.metrics().stream()
        .filter(Metric::timed)
        .forEach(metric -> put(values, metric.key(), metric.of(point)));
    data.put("values", values);
    return data;
  }

  private static Map<String, Object> series(StudyView view, SeriesAnswer answer, Look look) {
    List<Point> points = answer.series().points();
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("label", answer.series().label());
    data.put("spec", answer.series().spec());
    data.put("light", look.light());
    data.put("dark", look.dark());
    data.put("marker", look.marker().name().toLowerCase(Locale.ROOT));
    data.put("dash", look.dash());
    data.put("width", look.width());
    data.put("baseline", PanelAnswer.BASELINES.contains(answer.series().mechanism()));
    data.put("kind", answer.series().approximates().name().toLowerCase(Locale.ROOT));
    answer.timeFit().ifPresent(fit -> data.put("slope", "n^" + Wording.exponent(fit)));
    data.put("n", points.stream().map(Point::n).toList());
    Map<String, Object> values = new LinkedHashMap<>();
    for (Metric metric : view.metrics()) {
      if (points.stream().anyMatch(p -> !Double.isNaN(metric.of(p)))) {
        values.put(metric.key(), numbers(points, metric));
      }
    }
    data.put("values", values);
    data.put("disturbed", points.stream().map(Point::disturbance).toList());
    return data;
  }

  private static List<@Nullable Double> numbers(List<Point> points, Metric metric) {
    return numbers(points, metric.value());
  }

  private static List<@Nullable Double> numbers(List<Point> points, ToDoubleFunction<Point> value) {
    List<@Nullable Double> numbers = new ArrayList<>();
    for (Point point : points) {
      numbers.add(number(value.applyAsDouble(point)));
    }
    return numbers;
  }

  private static void put(Map<String, Object> data, String name, double value) {
    Double number = number(value);
    if (number != null) {
      data.put(name, number);
    }
  }

  /// A number with six digits; null where it is none.
  static @Nullable Double number(double value) {
    return Double.isFinite(value) ? BigDecimal.valueOf(value).round(DIGITS).doubleValue() : null;
  }
}
