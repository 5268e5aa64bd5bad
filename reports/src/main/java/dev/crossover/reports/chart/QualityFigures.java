// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.chart;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.models.training.TaskTraining;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.QualityResults.Row;
import dev.crossover.reports.answer.QualityTimes;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.chart.LogPlot.Axis;
import dev.crossover.reports.chart.LogPlot.Quantity;
import dev.crossover.reports.chart.Palette.Look;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.function.ToDoubleFunction;

/// The figures of one task: accuracy against state, time, training and length.
public final class QualityFigures {
  private static final Axis ACCURACY = new Axis("accuracy", Quantity.ACCURACY);

  private final QualityResults results;
  private final String prefix;
  private final String origin;
  private final Map<String, Look> looks;
  private final List<Figure> figures = new ArrayList<>();

  private QualityFigures(QualityResults results, String prefix, String origin) {
    this.results = results;
    this.prefix = prefix;
    this.origin = origin;
    this.looks = looks(results);
  }

  /// Looks of all mixers of a task, by their text.
  public static Map<String, Look> looks(QualityResults results) {
    Map<String, Look> looks = new LinkedHashMap<>();
    Map<String, Integer> settings = new LinkedHashMap<>();
    for (Row row : results.rows()) {
      int setting = settings.merge(row.mechanism(), 1, Integer::sum) - 1;
      looks.put(row.mixer(), Palette.look(row.mechanism(), setting));
    }
    return looks;
  }

  /// Draws all figures that a task has data for.
  ///
  /// @param times measured times; empty where no sweep lies beside
  /// @param prefix start of every file name, lower-case letters, digits and hyphens
  /// @param origin command, machine and commit, put below every figure
  public static List<Figure> of(
      QualityResults results, List<QualityTimes> times, String prefix, String origin) {
    QualityFigures figures = new QualityFigures(results, prefix, origin);
    figures.pareto(
        "state",
        "Accuracy against the state of decoding",
        new Axis("bytes after " + Wording.length(results.positions()) + " tokens", Quantity.BYTES),
        Row::stateBytes);
    for (QualityTimes one : times) {
      int n = one.chosen(results);
      if (n > 0) {
        figures.pareto(
            one.name(),
            "Accuracy against measured time at n = " + Wording.length(n),
            new Axis(one.title(), Quantity.SECONDS),
            row -> one.seconds(row, n));
      }
    }
    figures.learning();
    figures.loss();
    figures.lengths();
    figures.lossByLength();
    figures.lossByPosition();
    return List.copyOf(figures.figures);
  }

  private Look look(Row row) {
    return Objects.requireNonNull(looks.get(row.mixer()), row.mixer());
  }

  private void pareto(String name, String title, Axis axis, ToDoubleFunction<Row> cost) {
    LogPlot plot = new LogPlot(axis, ACCURACY);
    int length = results.positions();
    double least = Double.POSITIVE_INFINITY;
    double most = 0;
    for (Row row : results.rows()) {
      double at = cost.applyAsDouble(row);
      double accuracy = row.accuracy(length);
      if (at > 0 && !Double.isNaN(accuracy)) {
        least = Math.min(least, at);
        most = Math.max(most, at);
        plot.intervals(look(row), List.of(new double[] {at, row.low(length), row.high(length)}));
        plot.dots(row.label(), look(row), List.of(new double[] {at, accuracy}));
      }
    }
    if (plot.isEmpty()) {
      return;
    }
    List<double[]> front = new ArrayList<>();
    for (Row row : results.front(cost)) {
      double at = cost.applyAsDouble(row);
      if (!front.isEmpty()) {
        front.add(new double[] {at, front.getLast()[1]});
      }
      front.add(new double[] {at, row.accuracy(length)});
    }
    plot.guide("front: nothing is better in both", LogPlot.SOFT, LogPlot.SOLID, front);
    chance(plot, least, most);
    add(plot, name, title, "up and left is better; " + seeds());
  }

  private void chance(LogPlot plot, double from, double to) {
    if (to > from) {
      plot.guide(
          String.format(Locale.ROOT, "chance, %.3f", results.chance()),
          LogPlot.SOFT,
          LogPlot.DOTTED,
          List.of(new double[] {from, results.chance()}, new double[] {to, results.chance()}));
    }
  }

  private void learning() {
    LogPlot plot = new LogPlot(new Axis("training steps", Quantity.NUMBER), ACCURACY);
    double least = Double.POSITIVE_INFINITY;
    double most = 0;
    for (Row row : results.rows()) {
      for (QualityRecord record : row.records()) {
        List<double[]> points = new ArrayList<>();
        for (TaskTraining.Look look : record.looks()) {
          if (look.length() == results.positions()) {
            points.add(new double[] {look.step(), look.accuracy()});
            least = Math.min(least, look.step());
            most = Math.max(most, look.step());
          }
        }
        plot.line(legend(row, record), look(row), points);
      }
    }
    chance(plot, least, most);
    add(plot, "learning", "Accuracy on test samples while learning", "one line per seed");
  }

  private void loss() {
    LogPlot plot =
        new LogPlot(
            new Axis("training steps", Quantity.NUMBER),
            new Axis("training loss, nats", Quantity.NUMBER));
    for (Row row : results.rows()) {
      for (QualityRecord record : row.records()) {
        List<double[]> points = new ArrayList<>();
        for (QualityRecord.CurvePoint point : record.curve()) {
          points.add(new double[] {point.step(), point.loss()});
        }
        plot.line(legend(row, record), look(row), points);
      }
    }
    add(plot, "loss", "Loss while learning", "means of stretches of steps, one line per seed");
  }

  private static String legend(Row row, QualityRecord record) {
    return row.label() + (row.records().size() > 1 ? ", seed " + record.seed() : "");
  }

  private void lengths() {
    List<Integer> lengths = results.lengths();
    if (lengths.size() < 2) {
      return;
    }
    LogPlot plot = new LogPlot(new Axis("length of test samples", Quantity.LENGTH), ACCURACY);
    for (Row row : results.rows()) {
      List<double[]> points = new ArrayList<>();
      List<double[]> bars = new ArrayList<>();
      for (int n : lengths) {
        double accuracy = row.accuracy(n);
        if (!Double.isNaN(accuracy)) {
          points.add(new double[] {n, accuracy});
          bars.add(new double[] {n, row.low(n), row.high(n)});
        }
      }
      plot.intervals(look(row), bars);
      plot.line(row.label(), look(row), points);
    }
    chance(plot, lengths.getFirst(), lengths.getLast());
    add(
        plot,
        "lengths",
        "Accuracy beyond the trained length, " + Wording.length(results.positions()),
        seeds());
  }

  private void lossByLength() {
    List<Integer> lengths = results.lengths();
    if (lengths.size() < 2) {
      return;
    }
    LogPlot plot =
        new LogPlot(
            new Axis("length of test samples", Quantity.LENGTH),
            new Axis("loss, bits", Quantity.NUMBER));
    for (Row row : results.rows()) {
      List<double[]> points = new ArrayList<>();
      for (int n : lengths) {
        points.add(new double[] {n, row.bits(n)});
      }
      plot.line(row.label(), look(row), points);
    }
    double guess = results.guessBits();
    plot.guide(
        "even guess, " + Wording.digits(guess) + (guess == 1 ? " bit" : " bits"),
        LogPlot.SOFT,
        LogPlot.DOTTED,
        List.of(new double[] {lengths.getFirst(), guess}, new double[] {lengths.getLast(), guess}));
    add(plot, "length-loss", "Loss beyond the trained length", "mean over seeds");
  }

  private void lossByPosition() {
    LogPlot plot =
        new LogPlot(
            new Axis("position, the last of a stretch", Quantity.LENGTH),
            new Axis("loss, bits", Quantity.NUMBER));
    for (Row row : results.rows()) {
      List<double[]> points = new ArrayList<>();
      row.bitsByPosition().forEach((to, bits) -> points.add(new double[] {to, bits}));
      plot.line(row.label(), look(row), points);
    }
    add(
        plot,
        "position-loss",
        "Loss by position: how far context helps",
        "means of positions 1, 2, 3–4, 5–8, … and over seeds");
  }

  private String seeds() {
    boolean several = results.rows().stream().anyMatch(row -> row.records().size() > 1);
    return several ? "mean and 95 % interval over seeds" : "one seed";
  }

  private void add(LogPlot plot, String name, String title, String how) {
    if (!plot.isEmpty()) {
      String subtitle = results.title() + " · " + how + plot.zeros();
      figures.add(new Figure(prefix + "-" + name, title, subtitle, origin, plot));
    }
  }
}
