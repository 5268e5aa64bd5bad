// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.quality.Influence;
import dev.crossover.bench.quality.Influence.Estimate;
import dev.crossover.reports.answer.Labels;
import dev.crossover.reports.chart.LogPlot.Axis;
import dev.crossover.reports.chart.LogPlot.Quantity;
import dev.crossover.reports.chart.Palette.Look;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// Influence of a word's first symbol against the word's length, beside Hahn's bound.
public final class InfluenceFigure {
  private InfluenceFigure() {}

  /// The figure; its points are means over seeds with 95 % intervals.
  ///
  /// @param measured at least one mixer, all at the same lengths
  /// @param origin command, machine and commit, put below
  public static Figure of(List<Influence> measured, String origin) {
    LogPlot plot =
        new LogPlot(
            new Axis("length of the word", Quantity.LENGTH),
            new Axis("change of the last logits", Quantity.NUMBER));
    Map<String, Integer> settings = new LinkedHashMap<>();
    double highest = 0;
    for (Influence one : measured) {
      String name = one.mixer().split("[:+]")[0];
      int setting = settings.merge(name, 1, Integer::sum) - 1;
      Look look = Palette.look(name, setting);
      List<double[]> points = new ArrayList<>();
      List<double[]> bars = new ArrayList<>();
      for (int i = 0; i < one.lengths().size(); i++) {
        Estimate estimate = one.at(i);
        points.add(new double[] {one.lengths().get(i), estimate.mean()});
        bars.add(new double[] {one.lengths().get(i), estimate.low(), estimate.high()});
      }
      highest = Math.max(highest, one.at(0).mean());
      plot.intervals(look, bars);
      plot.line(Labels.title(name) + one.mixer().substring(name.length()), look, points);
    }
    List<Integer> lengths = measured.getFirst().lengths();
    double first = lengths.getFirst();
    double last = lengths.getLast();
    plot.guide(
        "1/n, Hahn's bound for bounded scores",
        LogPlot.SOFT,
        LogPlot.DOTTED,
        List.of(new double[] {first, highest}, new double[] {last, highest * first / last}));
    return new Figure(
        "influence",
        "What the first symbol of a word moves at its end",
        "random models of two blocks, nothing trained · mean and 95 % interval over seeds"
            + plot.zeros(),
        origin,
        plot);
  }
}
