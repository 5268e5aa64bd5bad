// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import java.util.Optional;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;

/// A quantity of a measured point, declared once in [Metrics]: a column of the table of all points
/// and of its CSV file, a value of the page's data and of `compare --json`, and, where it says so,
/// a chart over lengths and a reason for `compare` to call a point worse.
///
/// @param key heading in CSV files and name in JSON, snake case, with the unit
/// @param title heading for people
/// @param unit what the number counts
/// @param better which way is better
/// @param value the number of a point; NaN where it was not measured or does not apply
/// @param absence what people read in place of an absent number; empty for a dash
/// @param shown whether the table of all points that people read has it; CSV files have all
/// @param timed whether it rests on the samples of time, so that it is no result of unsteady forks
/// @param judge when a change alone makes a point worse; absent where it never does
/// @param picture its chart in a study; absent where it has none there
public record Metric(
    String key,
    String title,
    Unit unit,
    Better better,
    ToDoubleFunction<Point> value,
    Function<Point, String> absence,
    boolean shown,
    boolean timed,
    Optional<Judge> judge,
    Function<StudyView, Optional<Picture>> picture) {

  /// Which way is better.
  public enum Better {
    /// The less the better.
    LOWER,
    /// The more the better.
    HIGHER,
    /// It describes the point, and is neither good nor bad.
    NEITHER
  }

  /// When `compare` calls a point worse by this metric alone. For quantities that are computed or
  /// counted; those that vary from process to process need a test, which only time has.
  ///
  /// @param name what a sentence calls it
  /// @param from changes below this value are of no interest
  public record Judge(String name, double from) {}

  /// A metric of the table that people read, without chart or judgement.
  static Metric of(
      String key, String title, Unit unit, Better better, ToDoubleFunction<Point> value) {
    return new Metric(
        key,
        title,
        unit,
        better,
        value,
        _ -> "",
        true,
        false,
        Optional.empty(),
        _ -> Optional.empty());
  }

  /// Of CSV files, and not of the table that people read.
  Metric inFilesOnly() {
    return new Metric(key, title, unit, better, value, absence, false, timed, judge, picture);
  }

  /// Resting on the samples of time.
  Metric ofSamples() {
    return new Metric(key, title, unit, better, value, absence, shown, true, judge, picture);
  }

  /// With words in place of absent numbers.
  Metric orElse(Function<Point, String> words) {
    return new Metric(key, title, unit, better, value, words, shown, timed, judge, picture);
  }

  /// With a change that makes a point worse.
  Metric judged(String name, double from) {
    Judge rule = new Judge(name, from);
    return new Metric(
        key, title, unit, better, value, absence, shown, timed, Optional.of(rule), picture);
  }

  /// With a chart over lengths, in the studies for which there is one.
  Metric drawn(Function<StudyView, Optional<Picture>> chart) {
    return new Metric(key, title, unit, better, value, absence, shown, timed, judge, chart);
  }

  /// The number of a point.
  public double of(Point point) {
    return value.applyAsDouble(point);
  }

  /// What is worse at a point than it was, in words; empty when nothing is, or no number alone
  /// tells.
  ///
  /// @param leastEffect smallest relative change that counts
  public String worse(Point before, Point after, double leastEffect) {
    if (judge.isEmpty() || better == Better.NEITHER) {
      return "";
    }
    double old = of(before);
    double now = of(after);
    double larger = better == Better.LOWER ? now : old;
    double smaller = better == Better.LOWER ? old : now;
    return larger > (1 + leastEffect) * smaller && larger > judge.get().from()
        ? judge.get().name() + " " + unit.text(old) + " → " + unit.text(now)
        : "";
  }
}
