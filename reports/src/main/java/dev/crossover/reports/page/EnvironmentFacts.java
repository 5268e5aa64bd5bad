// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.Wording;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/// Where records were measured, for the end of a page.
final class EnvironmentFacts {
  private EnvironmentFacts() {}

  /// One view for each environment of some records: names and values.
  static List<Map<String, Object>> of(List<ResultRecord> records) {
    Map<String, List<ResultRecord>> groups = new LinkedHashMap<>();
    for (ResultRecord record : records) {
      groups.computeIfAbsent(record.environment().key(), k -> new ArrayList<>()).add(record);
    }
    List<Map<String, Object>> views = new ArrayList<>();
    for (List<ResultRecord> group : groups.values()) {
      ResultRecord.Environment e = group.getFirst().environment();
      Set<String> stamps = new TreeSet<>();
      Set<String> flags = new TreeSet<>();
      for (ResultRecord record : group) {
        stamps.add(record.environment().timestamp());
        flags.add(record.environment().jvmFlags());
      }
      List<Map<String, String>> facts = new ArrayList<>();
      fact(facts, "machine", e.cpu() + ", " + e.cores() + " cores");
      fact(facts, "memory", Wording.bytes((double) e.memoryBytes()));
      fact(facts, "system", e.os());
      fact(facts, "JDK", e.jdk());
      fact(facts, "JVM flags", flags(flags));
      fact(facts, "kernels", e.kernels());
      fact(facts, "commit", e.commit());
      String first = stamps.iterator().next();
      String last = ((TreeSet<String>) stamps).last();
      fact(facts, "measured", first.equals(last) ? first : first + " to " + last);
      fact(facts, "records", Integer.toString(group.size()));
      views.add(Map.of("facts", facts));
    }
    return views;
  }

  /// The flags of all forks: those that all share, then what of the others' values was used.
  ///
  /// Heaps are as large as a point needs, so that `-Xmx` differs from fork to fork.
  private static String flags(Set<String> all) {
    Set<String> shared = null;
    Set<String> every = new TreeSet<>();
    for (String flags : all) {
      List<String> words = List.of(flags.strip().split("\\s+"));
      every.addAll(words);
      if (shared == null) {
        shared = new LinkedHashSet<>(words);
      } else {
        shared.retainAll(words);
      }
    }
    if (shared == null) {
      return "";
    }
    every.removeAll(shared);
    Map<String, TreeSet<Long>> heaps = new TreeMap<>();
    List<String> others = new ArrayList<>();
    for (String flag : every) {
      if (flag.matches("-X(ms|mx|mn)\\d{1,9}m")) {
        long megabytes = Long.parseLong(flag.substring(4, flag.length() - 1));
        heaps.computeIfAbsent(flag.substring(0, 4), k -> new TreeSet<>()).add(megabytes);
      } else {
        others.add(flag);
      }
    }
    List<String> words = new ArrayList<>(shared);
    heaps.forEach((flag, sizes) -> words.add(flag + sizes.first() + "m…" + sizes.last() + "m"));
    if (!others.isEmpty()) {
      words.add("and in some forks " + String.join(" ", others));
    }
    return String.join(" ", words);
  }

  static void fact(List<Map<String, String>> facts, String name, String value) {
    facts.add(Map.of("name", name, "value", value, "valueMarkdown", Markdown.escape(value)));
  }
}
