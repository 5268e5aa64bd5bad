// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// What a [PhaseDiagram] asks for, upward. Limits are shares that may be wrong: an error, or what
/// an accuracy leaves to 1.
public enum PhaseFace {
  /// A permitted error of the output.
  ERROR("error", "within the error", "nothing within the error"),
  /// A required accuracy on a task that models were trained on.
  ACCURACY("accuracy", "at the accuracy", "nothing else that reaches it");

  private final String axis;
  private final String within;
  private final String nothing;

  PhaseFace(String axis, String within, String nothing) {
    this.axis = axis;
    this.within = within;
    this.nothing = nothing;
  }

  /// The name of the axis.
  public String axis() {
    return axis;
  }

  /// For example `within the error`.
  String within() {
    return within;
  }

  /// The subject of a sentence about a cell in which no mechanism qualifies.
  String nothing() {
    return nothing;
  }

  /// What a diagram shows, the start of a sentence.
  public String headline() {
    return this == ERROR
        ? "The fastest mechanism within a permitted error, and how many times faster than tiled"
            + " exact attention."
        : "The fastest mechanism with which a model learned the task to a required accuracy, and"
            + " how many times faster than tiled exact attention.";
  }

  /// A limit on the axis.
  public String level(double limit) {
    return Wording.percent(shown(limit));
  }

  /// For example `error at most 5 %`.
  public String asked(double limit) {
    return axis + (this == ERROR ? " at most " : " at least ") + level(limit);
  }

  /// A limit, or a share that is wrong, as this face shows it.
  public double shown(double share) {
    return this == ERROR ? share : 1 - share;
  }

  /// A share that is wrong with its interval, as this face shows it.
  public Interval shown(Interval share) {
    return this == ERROR
        ? share
        : new Interval(shown(share.error()), shown(share.high()), shown(share.low()));
  }

  /// Limits from the top of a diagram to its bottom.
  List<Double> downward(List<Double> ascending) {
    return this == ERROR ? ascending.reversed() : ascending;
  }

  /// A share that is wrong with its interval, as this face shows it, on the right side of a limit
  /// when rounded.
  public String range(@Nullable Interval interval, double limit) {
    if (interval == null) {
      return "–";
    }
    Interval is = shown(interval);
    String middle = Wording.percent(is.error(), shown(limit));
    String low = Wording.percent(is.low(), shown(limit));
    String high = Wording.percent(is.high(), shown(limit));
    return low.equals(high) ? middle : middle + " (" + low.replace(" %", "") + "–" + high + ")";
  }

  /// What the marks of a drawn cell mean.
  public String key() {
    String hatched = "Hatched: intervals do not decide between the two colours.";
    return this == ERROR
        ? hatched
            + " * and a dashed edge: within the error only where the setting was chosen, not on"
            + " the part that had no say."
        : hatched + " None: nothing that was trained and timed reaches the accuracy.";
  }
}
