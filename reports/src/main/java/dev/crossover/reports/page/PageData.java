// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.SampleStatistics;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import dev.crossover.reports.answer.Point;
import dev.crossover.reports.answer.Roofline;
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
      series.add(series(one, Objects.requireNonNull(looks.get(spec), spec)));
    }
    data.put("series", series);
    data.put("unsteady", panel.unsteady().stream().map(r -> unsteady(r, looks)).toList());
    return data;
  }

  /// A point that is drawn hollow.
  private static Map<String, Object> unsteady(ResultRecord record, Map<String, Look> looks) {
    Look look = looks.getOrDefault(record.spec(), Palette.look(Labels.core(record), 0));
    Map<String, Object> data = new LinkedHashMap<>();
    data.put("spec", record.spec());
    data.put("light", look.light());
    data.put("dark", look.dark());
    data.put("marker", look.marker().name().toLowerCase(Locale.ROOT));
    data.put("n", record.shape().n());
    double seconds = record.time() == null ? Double.NaN : record.time().median();
    put(data, "t", seconds);
    put(data, "tokens", record.shape().batch() / seconds);
    return data;
  }

  private static Map<String, Object> series(SeriesAnswer answer, Look look) {
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
    data.put("t", numbers(points, Point::seconds));
    data.put("tLow", numbers(points, p -> low(p.time())));
    data.put("tHigh", numbers(points, p -> high(p.time())));
    data.put("forks", points.stream().map(p -> p.forkMedians().size()).toList());
    data.put(
        "samples",
        points.stream().map(p -> p.samples().stream().mapToInt(List::size).sum()).toList());
    if (answer.series().approximates() != Approximates.NONE) {
      data.put("error", numbers(points, Point::error));
      data.put("errorLow", numbers(points, Point::errorLow));
      data.put("errorHigh", numbers(points, Point::errorHigh));
    }
    data.put("counted", numbers(points, Point::countedBytes));
    data.put("allocated", numbers(points, Point::allocatedBytes));
    data.put("resident", numbers(points, Point::residentBytes));
    data.put("state", numbers(points, Point::stateBytes));
    data.put("batch", points.getFirst().first().shape().batch());
    data.put("gflops", numbers(points, p -> roof(p, Roofline::gflops)));
    data.put("intensity", numbers(points, p -> roof(p, Roofline::intensity)));
    data.put("share", numbers(points, p -> roof(p, Roofline::shareOfPeak)));
    data.put("disturbed", points.stream().map(Point::disturbance).toList());
    return data;
  }

  private static double low(@Nullable SampleStatistics time) {
    return time == null ? Double.NaN : time.low();
  }

  private static double high(@Nullable SampleStatistics time) {
    return time == null ? Double.NaN : time.high();
  }

  private static double roof(Point point, ToDoubleFunction<Roofline> part) {
    Roofline roofline = point.roofline();
    return roofline == null ? Double.NaN : part.applyAsDouble(roofline);
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
