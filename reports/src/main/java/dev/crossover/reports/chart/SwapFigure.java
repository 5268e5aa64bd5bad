// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.swap.SwapRecord;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.chart.LogPlot.Axis;
import dev.crossover.reports.chart.LogPlot.Quantity;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/// The figure of a swap study: what an approximation's error costs in a model's answers.
public final class SwapFigure {
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
      points
          .computeIfAbsent(name(record), _ -> new ArrayList<>())
          .add(new double[] {record.meanError(), 1 - record.meanCosine()});
    }
    points.forEach((name, some) -> plot.dots(Labels.title(name), Palette.look(name, 0), some));
    return plot.isEmpty()
        ? Optional.empty()
        : Optional.of(
            new Figure(
                "swap", "Output error and what it costs in answers", subtitle, origin, plot));
  }

  /// The mechanism's name; all controls share one.
  private static String name(SwapRecord record) {
    return record.setting().split("[:+]", 2)[0];
  }
}
