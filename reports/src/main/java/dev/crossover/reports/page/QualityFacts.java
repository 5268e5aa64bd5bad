// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.reports.answer.Wording;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.stream.Collectors;

/// Where training runs were made.
final class QualityFacts {
  private QualityFacts() {}

  /// One list of facts per machine and commit.
  static List<Map<String, Object>> of(List<QualityRecord> runs) {
    Map<String, List<QualityRecord>> groups = new LinkedHashMap<>();
    for (QualityRecord run : runs) {
      groups.computeIfAbsent(run.machine() + " " + run.commit(), _ -> new ArrayList<>()).add(run);
    }
    List<Map<String, Object>> views = new ArrayList<>();
    for (List<QualityRecord> group : groups.values()) {
      QualityRecord first = group.getFirst();
      List<Map<String, String>> facts = new ArrayList<>();
      EnvironmentFacts.fact(
          facts, "machine", first.machine().cpu() + ", " + first.machine().cores() + " cores");
      EnvironmentFacts.fact(facts, "memory", Wording.bytes((double) first.machine().memoryBytes()));
      EnvironmentFacts.fact(facts, "system", first.machine().os());
      EnvironmentFacts.fact(facts, "JDK", first.machine().jdk());
      String threads =
          group.stream()
              .map(QualityRecord::threads)
              .collect(Collectors.toCollection(TreeSet::new))
              .stream()
              .map(String::valueOf)
              .collect(Collectors.joining(", "));
      EnvironmentFacts.fact(facts, "threads", threads);
      EnvironmentFacts.fact(facts, "commit", first.commit());
      double minutes = group.stream().mapToDouble(QualityRecord::seconds).sum() / 60;
      EnvironmentFacts.fact(
          facts,
          "training runs",
          group.size() + ", " + Wording.digits(minutes) + " minutes together");
      views.add(Map.of("facts", facts));
    }
    return views;
  }

  /// `12 measured points, 36 training runs`.
  static String count(int points, int runs) {
    List<String> words = new ArrayList<>();
    if (points > 0) {
      words.add(points + " measured points");
    }
    if (runs > 0) {
      words.add(runs + (runs == 1 ? " training run" : " training runs"));
    }
    return String.join(", ", words);
  }
}
