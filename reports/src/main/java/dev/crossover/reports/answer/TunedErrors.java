// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.tune.FrontRecord;
import java.util.List;
import java.util.Optional;

/// Errors that `crossover tune` found for the settings of a panel: where they were chosen, and on
/// the part that had no say.
///
/// @param records those of the panel's input, mask, sizes, machine and commit
record TunedErrors(List<FrontRecord> records) {

  /// What of some records belongs to a panel.
  static TunedErrors of(Panel panel, List<FrontRecord> front) {
    return new TunedErrors(front.stream().filter(f -> PhaseDiagram.matches(f, panel)).toList());
  }

  /// The record of a setting at a length; the last where several inputs judged it.
  Optional<FrontRecord> at(String spec, int n) {
    return records.stream()
        .filter(f -> f.n() == n && f.spec().equals(spec))
        .reduce((_, last) -> last);
  }

  /// The larger upper end of the errors on both parts; of a setting that was not tuned, another
  /// value.
  double worst(String spec, int n, double otherwise) {
    return at(spec, n)
        .map(
            f -> {
              Interval other = f.other();
              return other == null ? f.chosen().high() : Math.max(f.chosen().high(), other.high());
            })
        .orElse(otherwise);
  }

  /// Whether a setting is within an error at all lengths where it was chosen, but not on the other
  /// part.
  boolean onlyWhereChosen(String spec, List<Integer> lengths, double error) {
    return lengths.stream()
            .allMatch(n -> at(spec, n).filter(f -> f.chosen().within(error)).isPresent())
        && lengths.stream()
            .anyMatch(n -> at(spec, n).filter(f -> f.onlyWhereChosen(error)).isPresent());
  }

  /// Whether anything was tuned at all lengths.
  boolean covers(List<Integer> lengths) {
    return !lengths.isEmpty()
        && lengths.stream().allMatch(n -> records.stream().anyMatch(f -> f.n() == n));
  }
}
