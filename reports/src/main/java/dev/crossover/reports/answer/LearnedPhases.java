// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Frontier.Entry;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.ArrayList;
import java.util.List;
import java.util.LongSummaryStatistics;
import java.util.Optional;

/// Phase diagrams of required accuracy: for each task that models were trained on, which mechanism
/// is the fastest at a length among those with which a model reached it.
///
/// Accuracy is that of training runs at the task's own length; times are of causal forward passes
/// at the lengths of a sweep. The whole interval over seeds must reach the accuracy; with one seed
/// its accuracy does.
public final class LearnedPhases {
  /// Required accuracies.
  public static final List<Double> REQUIRED = List.of(0.99, 0.95, 0.9, 0.8, 0.7, 0.5);

  private static final List<Double> LIMITS = REQUIRED.stream().map(a -> 1 - a).toList();

  private LearnedPhases() {}

  /// The diagrams that records allow: one for each task of which at least one mechanism beside
  /// exact attention was timed.
  ///
  /// @param results what was learned
  /// @param sweeps measured points
  public static List<PhaseDiagram> of(List<QualityResults> results, List<ResultRecord> sweeps) {
    List<PhaseDiagram> diagrams = new ArrayList<>();
    for (QualityTimes times : QualityTimes.of(sweeps)) {
      if (times.name().equals(QualityTimes.FORWARD)
          && times.panel().baseline(PhaseDiagram.BASELINE).flatMap(Series::time).isPresent()) {
        results.stream()
            .map(result -> diagram(result, times))
            .filter(d -> d.frontiers().stream().anyMatch(f -> !f.entries().isEmpty()))
            .forEach(diagrams::add);
      }
    }
    return List.copyOf(diagrams);
  }

  private static PhaseDiagram diagram(QualityResults result, QualityTimes times) {
    List<Frontier> frontiers = new ArrayList<>();
    for (int n : times.panel().lengths()) {
      frontiers.add(frontier(result, times, n));
    }
    boolean one = result.rows().stream().anyMatch(row -> row.records().size() < 2);
    String parts =
        "Accuracy is that of models of "
            + sizes(result)
            + " parameters at the length they were trained at, "
            + Wording.length(result.positions())
            + " positions; times are those of the mechanism alone at n"
            + (one ? "; some accuracies are of one seed" : "");
    return new PhaseDiagram(
        PhaseFace.ACCURACY, result.title(), times.panel(), false, parts, LIMITS, frontiers);
  }

  private static String sizes(QualityResults result) {
    LongSummaryStatistics sizes =
        result.rows().stream()
            .mapToLong(row -> row.first().parameters())
            .filter(size -> size > 0)
            .summaryStatistics();
    return sizes.getMin() == sizes.getMax()
        ? Wording.whole(sizes.getMax())
        : Wording.whole(sizes.getMin()) + " to " + Wording.whole(sizes.getMax());
  }

  private static Frontier frontier(QualityResults result, QualityTimes times, int n) {
    Optional<Sample> exact =
        times
            .panel()
            .baseline(PhaseDiagram.BASELINE)
            .flatMap(s -> s.at(n))
            .flatMap(PhaseDiagram::sample);
    Interval learned = new Interval(1, 1, 1);
    List<Entry> entries = new ArrayList<>();
    for (Row row : result.rows()) {
      Interval missed = missed(row, result.positions());
      if (PanelAnswer.BASELINES.contains(row.mechanism())) {
        learned = missed.high() < learned.high() ? missed : learned;
        continue;
      }
      Optional<Sample> time = times.point(row, n).flatMap(PhaseDiagram::sample);
      if (exact.isPresent() && time.isPresent() && !Double.isNaN(missed.error())) {
        entries.add(
            new Entry(
                row.label(),
                row.mechanism(),
                row.spec(),
                time.get(),
                Ratio.of(exact.get(), time.get()),
                missed,
                null));
      }
    }
    return new Frontier(n, exact, learned, entries, entries.size());
  }

  /// What the accuracy at a length leaves to 1, with its interval over seeds.
  private static Interval missed(Row row, int length) {
    return new Interval(1 - row.accuracy(length), 1 - row.most(length), 1 - row.least(length));
  }
}
