// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import java.io.IOException;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/// Whether records are all of a sweep, wherever they were measured.
public final class Completeness {
  private Completeness() {}

  /// The points of a plan that no record finishes: those without a record, and those with fewer
  /// steady forks than the plan wants. A point that was skipped or failed is finished.
  ///
  /// @param records of one machine or of several
  /// @return in the plan's order
  /// @throws IOException if an input cannot be read
  public static List<Point> missing(SweepPlan plan, List<ResultRecord> records) throws IOException {
    Set<String> finished = new HashSet<>();
    for (ResultRecord record : records) {
      boolean measured = record.status() == Status.OK && record.time() != null;
      if (!measured || record.steadyForks() >= plan.effort().forks()) {
        finished.add(record.pointKey());
      }
    }
    Records making = new Records(null);
    Map<String, InputSource> inputs = new HashMap<>();
    List<Point> missing = new ArrayList<>();
    for (Point point : plan.points()) {
      InputSource input = inputs.computeIfAbsent(point.input(), InputSource::parse);
      if (!finished.contains(making.pointKey(point, input))) {
        missing.add(point);
      }
    }
    return List.copyOf(missing);
  }
}
