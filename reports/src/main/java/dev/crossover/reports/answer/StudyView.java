// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;
import java.util.ArrayList;
import java.util.List;

/// What reports know of a study: its unit, the words for its quantities, its metrics and its
/// charts. To add one, add a class to those permitted here and a line to [#of]: tables, charts,
/// headlines and the page follow.
public sealed interface StudyView permits ForwardStudy, DecodeStudy, TrainingStudy {

  /// The view of a study.
  static StudyView of(Study study) {
    return switch (study) {
      case FORWARD -> new ForwardStudy();
      case DECODE -> new DecodeStudy();
      case TRAINING -> new TrainingStudy();
    };
  }

  /// Its name in records.
  Study study();

  /// What was timed, for a heading.
  String title();

  /// What one sample of time is of.
  String unit();

  /// Heading of a chart of times.
  default String timeTitle() {
    return "Time per " + unit() + " against " + length().replace(" n", "");
  }

  /// What comes before a length in a sentence.
  default String at() {
    return "n = ";
  }

  /// What the length is called on an axis.
  default String length() {
    return "sequence length n";
  }

  /// What an error is called after its number.
  default String error() {
    return "error";
  }

  /// Heading of a chart of errors.
  default String errorTitle() {
    return "Error against exact attention on the same tensors";
  }

  /// What the errors are, in a formula.
  default String errorHow() {
    return "relative Frobenius ‖O − O*‖ / ‖O*‖";
  }

  /// What its memory is called.
  default String bytes() {
    return "counted memory";
  }

  /// The metric of its memory, in which mechanisms are compared.
  default Metric memory() {
    return Metrics.COUNTED_BYTES;
  }

  /// A reason to doubt its numbers that no other study has; empty where there is none.
  default String doubt() {
    return "";
  }

  /// What was timed, for a heading.
  ///
  /// @param mask the mask in words
  default String title(String mask) {
    return wholeSequence() ? title() + ", " + mask : title();
  }

  /// The study in file names, for example `forward-causal`.
  default String slug(String mask) {
    return wholeSequence() ? study().word() + "-" + mask : study().word();
  }

  /// Whether a call is over the whole sequence, so that its work is counted and a mask belongs to
  /// its name; a token of decoding is not.
  default boolean wholeSequence() {
    return study().wholeSequence();
  }

  /// Its metrics in the order of columns: the same for every study, so that files of several can be
  /// put one below the other; what a study does not measure is absent.
  default List<Metric> metrics() {
    return Metrics.ALL;
  }

  /// The title of a metric in this study.
  default String title(Metric metric) {
    return metric.key().equals(Metrics.ERROR.key()) ? error() : metric.title();
  }

  /// Its charts in reading order, speed always beside error.
  default List<Chart> charts() {
    List<Chart> charts = new ArrayList<>();
    for (Metric metric : metrics()) {
      metric
          .picture()
          .apply(this)
          .ifPresent(picture -> charts.add(new Chart.Lines(metric, picture)));
    }
    charts.add(
        new Chart.Front(
            "pareto-time",
            "What time buys",
            "error against time at one length; down and left is better, the step line is the front",
            true,
            Metrics.SECONDS,
            "Time"));
    charts.add(
        new Chart.Front(
            "pareto-memory",
            "What memory buys",
            "error against counted memory at one length",
            wholeSequence(),
            Metrics.COUNTED_BYTES,
            "Counted memory"));
    if (wholeSequence()) {
      charts.add(
          new Chart.Roof(
              "roofline",
              "Roofline",
              "counted FLOPs and bytes over measured time; the roof was measured in the same run",
              true));
    }
    return List.copyOf(charts);
  }
}
