// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import java.util.List;

/// What a sweep would measure, skip and cost, before anything is measured.
///
/// @param rows one for each point, in the sweep's order
/// @param forks processes per point
/// @param seconds predicted duration of what is left to measure
/// @param rates where the predicted times come from
public record Forecast(List<Row> rows, int forks, double seconds, String rates) {

  /// What will become of a point.
  public enum Fate {
    /// It will be measured.
    MEASURE,
    /// The result file holds it already.
    MEASURED,
    /// It will be recorded as skipped.
    SKIP
  }

  /// One point.
  ///
  /// @param point the point
  /// @param fate what will become of it
  /// @param callSeconds predicted seconds of one forward pass or token; 0 for a skipped point
  /// @param heapBytes heap its process needs; 0 where the point makes no sense
  /// @param reason why it is skipped; empty otherwise
  public record Row(Point point, Fate fate, double callSeconds, long heapBytes, String reason) {}

  /// Copies the rows.
  public Forecast {
    rows = List.copyOf(rows);
  }

  /// Number of points with a fate.
  public long count(Fate fate) {
    return rows.stream().filter(row -> row.fate() == fate).count();
  }
}
