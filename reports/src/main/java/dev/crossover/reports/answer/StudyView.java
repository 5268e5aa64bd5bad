// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;
import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;

/// What reports call a study and its quantities: the one place that a new study needs in tables,
/// charts, headlines and the page.
public enum StudyView {
  /// One forward pass over the whole sequence.
  FORWARD(
      "Forward pass",
      "call",
      "n = ",
      "sequence length n",
      "error",
      "Error against exact attention on the same tensors",
      "relative Frobenius ‖O − O*‖ / ‖O*‖",
      "counted memory",
      Point::countedBytes,
      Series::countedBytes),

  /// One token of decoding.
  DECODE(
      "Decoding, one token at a time",
      "token",
      "context ",
      "context length",
      "error",
      "Error against exact attention on the same tensors",
      "relative Frobenius ‖O − O*‖ / ‖O*‖",
      "state",
      Point::stateBytes,
      Series::stateBytes),

  /// One forward and one backward pass.
  TRAINING(
      "Training step, forward and backward pass",
      "training step",
      "n = ",
      "sequence length n",
      "gradient error",
      "Error of the gradients against those of exact attention",
      "largest of the relative Frobenius errors ‖∂ − ∂*‖ / ‖∂*‖ of ∂q, ∂k and ∂v",
      "counted memory",
      Point::countedBytes,
      Series::countedBytes);

  private final String title;
  private final String unit;
  private final String at;
  private final String length;
  private final String error;
  private final String errorTitle;
  private final String errorHow;
  private final String bytes;
  private final ToDoubleFunction<Point> bytesOf;
  private final Function<Series, Optional<Curve>> bytesCurve;

  StudyView(
      String title,
      String unit,
      String at,
      String length,
      String error,
      String errorTitle,
      String errorHow,
      String bytes,
      ToDoubleFunction<Point> bytesOf,
      Function<Series, Optional<Curve>> bytesCurve) {
    this.title = title;
    this.unit = unit;
    this.at = at;
    this.length = length;
    this.error = error;
    this.errorTitle = errorTitle;
    this.errorHow = errorHow;
    this.bytes = bytes;
    this.bytesOf = bytesOf;
    this.bytesCurve = bytesCurve;
  }

  /// The view of a study, of the same name.
  public static StudyView of(Study study) {
    return valueOf(study.name());
  }

  /// Whether a call is over the whole sequence, so that its work is counted and a mask belongs to
  /// its name; a token of decoding is not.
  public boolean wholeSequence() {
    return this != DECODE;
  }

  /// What was timed, for a heading.
  ///
  /// @param mask the mask in words
  public String title(String mask) {
    return wholeSequence() ? title + ", " + mask : title;
  }

  /// The study in file names, for example `forward-causal`.
  public String slug(String mask) {
    String word = Study.valueOf(name()).word();
    return wholeSequence() ? word + "-" + mask : word;
  }

  /// What one sample of time is of.
  public String unit() {
    return unit;
  }

  /// What comes before a length in a sentence.
  public String at() {
    return at;
  }

  /// What the length is called on an axis.
  public String length() {
    return length;
  }

  /// What an error is called after its number.
  public String error() {
    return error;
  }

  /// Heading of a chart of errors.
  public String errorTitle() {
    return errorTitle;
  }

  /// What the errors are, in a formula.
  public String errorHow() {
    return errorHow;
  }

  /// What the memory of the study is called.
  public String bytes() {
    return bytes;
  }

  /// Bytes of a point.
  public double bytes(Point point) {
    return bytesOf.applyAsDouble(point);
  }

  /// Bytes of a series over its lengths; nothing where they were not counted.
  public Optional<Curve> bytes(Series series) {
    return bytesCurve.apply(series);
  }
}
