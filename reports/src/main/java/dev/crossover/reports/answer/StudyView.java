// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;
import java.util.ArrayList;
import java.util.List;

/// What reports make of a study: its words, which its kind has, its metrics and its charts.
///
/// @param study its name in records
public record StudyView(Study study) {

  /// The view of a study.
  public static StudyView of(Study study) {
    return new StudyView(study);
  }

  /// What was timed, for a heading.
  public String title() {
    return study.kind().title();
  }

  /// What one sample of time is of.
  public String unit() {
    return study.kind().unit();
  }

  /// Heading of a chart of times.
  public String timeTitle() {
    return study.kind().timeTitle();
  }

  /// What comes before a length in a sentence.
  public String at() {
    return study.kind().at();
  }

  /// What the length is called on an axis.
  public String length() {
    return study.kind().length();
  }

  /// What an error is called after its number.
  public String error() {
    return study.kind().error();
  }

  /// Heading of a chart of errors.
  public String errorTitle() {
    return study.kind().errorTitle();
  }

  /// What the errors are, in a formula.
  public String errorHow() {
    return study.kind().errorHow();
  }

  /// What its memory is called.
  public String bytes() {
    return study.kind().bytes();
  }

  /// A reason to doubt its numbers that no other study has; empty where there is none.
  public String doubt() {
    return study.kind().doubt();
  }

  /// The metric of its memory, in which mechanisms are compared.
  public Metric memory() {
    return Metrics.ALL.stream()
        .filter(metric -> metric.key().equals(study.kind().memory()))
        .findFirst()
        .orElseThrow();
  }

  /// What was timed, for a heading.
  ///
  /// @param mask the mask in words
  public String title(String mask) {
    return wholeSequence() ? title() + ", " + mask : title();
  }

  /// The study in file names, for example `forward-causal`.
  public String slug(String mask) {
    return wholeSequence() ? study.word() + "-" + mask : study.word();
  }

  /// Whether a call is over the whole sequence, so that its work is counted and a mask belongs to
  /// its name; a token of decoding is not.
  public boolean wholeSequence() {
    return study.wholeSequence();
  }

  /// Its metrics in the order of columns: the same for every study, so that files of several can be
  /// put one below the other; what a study does not measure is absent.
  public List<Metric> metrics() {
    return Metrics.ALL;
  }

  /// The title of a metric in this study.
  public String title(Metric metric) {
    return metric.key().equals(Metrics.ERROR.key()) ? error() : metric.title();
  }

  /// Its charts in reading order, speed always beside error.
  public List<Chart> charts() {
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
