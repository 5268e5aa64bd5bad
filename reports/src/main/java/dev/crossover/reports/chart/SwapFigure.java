// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.swap.LanguageSwapRecord;
import dev.crossover.bench.swap.SwapRecord;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.chart.LogPlot.Axis;
import dev.crossover.reports.chart.LogPlot.Quantity;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/// The figures of swap studies: what an approximation's error costs in a model's answers.
public final class SwapFigure {
  private static final Pattern CACHE = Pattern.compile("[:,](?:cache|store)=([^,/]+)");

  private SwapFigure() {}

  /// Draws 1 − mean cosine against mean output error, a point a setting; empty where no setting has
  /// both above zero.
  ///
  /// @param subtitle below the title
  /// @param origin command, machine, JDK and commit, put below the figure
  public static Optional<Figure> of(List<SwapRecord> done, String subtitle, String origin) {
    LogPlot plot =
        new LogPlot(
            new Axis("output error on the original's activations", Quantity.SHARE),
            new Axis("1 − cosine of original and swapped embedding", Quantity.NUMBER));
    Map<String, List<double[]>> points = new LinkedHashMap<>();
    for (SwapRecord record : done) {
      add(points, record.setting(), record.meanError(), 1 - record.meanCosine());
    }
    return figure(
        plot, points, "swap", "Output error and what it costs in answers", subtitle, origin);
  }

  /// Draws the bits per byte that a language model loses against output error, a point a mechanism
  /// put in as it is; empty where none has both above zero.
  ///
  /// @param at index of the length
  public static Optional<Figure> losses(
      List<LanguageSwapRecord> asIs, int at, String subtitle, String origin) {
    LogPlot plot =
        new LogPlot(
            new Axis("output error on the original's activations", Quantity.SHARE),
            new Axis("bits per byte above the original's", Quantity.NUMBER));
    Map<String, List<double[]>> points = new LinkedHashMap<>();
    for (LanguageSwapRecord record : asIs) {
      add(points, record.setting(), record.meanError(at), record.meanLoss(at));
    }
    return figure(
        plot, points, "swap-error", "Output error and what it costs in bits", subtitle, origin);
  }

  /// Draws bits per byte against the bytes that decoding keeps, a point a mechanism; empty where
  /// none decodes.
  ///
  /// @param at index of the length
  public static Optional<Figure> states(
      List<LanguageSwapRecord> done, int at, String subtitle, String origin) {
    LogPlot plot =
        new LogPlot(
            new Axis("bytes that decoding keeps", Quantity.BYTES),
            new Axis("bits per byte", Quantity.NUMBER));
    Map<String, List<double[]>> points = new LinkedHashMap<>();
    for (LanguageSwapRecord record : done) {
      add(points, record.setting(), record.stateBytes(), record.meanBits(at));
    }
    return figure(
        plot, points, "swap-state", "Bits per byte and what decoding keeps", subtitle, origin);
  }

  private static void add(Map<String, List<double[]>> points, String setting, double x, double y) {
    points.computeIfAbsent(name(setting), _ -> new ArrayList<>()).add(new double[] {x, y});
  }

  private static Optional<Figure> figure(
      LogPlot plot,
      Map<String, List<double[]>> points,
      String name,
      String title,
      String subtitle,
      String origin) {
    points.forEach(
        (mechanism, some) -> plot.dots(Labels.title(mechanism), Palette.look(mechanism, 0), some));
    long without =
        points.values().stream()
            .flatMap(List::stream)
            .filter(point -> !(point[0] > 0 && point[1] > 0))
            .count();
    String told =
        without == 0
            ? subtitle
            : subtitle + "; " + without + " at or below zero have no place on logarithmic axes";
    return plot.isEmpty()
        ? Optional.empty()
        : Optional.of(new Figure(name, title, told, origin, plot));
  }

  /// The mechanism's name, or that of the policy or store of its cache; all controls share one.
  private static String name(String setting) {
    Matcher cache = CACHE.matcher(setting);
    return cache.find() ? cache.group(1) : setting.split("[:+]", 2)[0];
  }
}
