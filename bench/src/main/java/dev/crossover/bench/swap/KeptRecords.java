// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.result.JsonLines;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.Supplier;

/// Records of a study in a file: jobs whose records are there are left out, others are appended as
/// they end, so that a killed study goes on where it was.
///
/// @param <R> the records
final class KeptRecords<R> {
  private final Path file;
  private final Class<R> type;
  private final Function<R, String> key;
  private final Consumer<String> progress;

  /// @param key identity of a record; refuses one with an [IllegalArgumentException]
  /// @param progress is told what goes on
  KeptRecords(Path file, Class<R> type, Function<R, String> key, Consumer<String> progress) {
    this.file = file;
    this.type = type;
    this.key = key;
    this.progress = progress;
  }

  /// The records of the file, the last one of every key.
  Map<String, R> known() throws IOException {
    List<String> warnings = new ArrayList<>();
    Map<String, R> known = new LinkedHashMap<>();
    for (R record : JsonLines.latest(List.of(file), type, key, warnings)) {
      known.put(key.apply(record), record);
    }
    warnings.forEach(progress);
    return known;
  }

  /// Does the jobs that the file does not hold yet.
  ///
  /// @param keyOf the key of a job's record
  /// @param start called once, if there is anything to do; gives what does a job
  /// @param line what is told of a record
  /// @return the records of all jobs, in their order
  <J> List<R> complete(
      List<J> jobs,
      Function<J, String> keyOf,
      Supplier<Function<J, R>> start,
      Function<R, String> line)
      throws IOException {
    Map<String, R> known = known();
    List<J> open = jobs.stream().filter(job -> !known.containsKey(keyOf.apply(job))).toList();
    if (!open.isEmpty()) {
      try (JsonLines lines = JsonLines.open(file)) {
        Function<J, R> work = start.get();
        for (int i = 0; i < open.size(); i++) {
          R record = work.apply(open.get(i));
          lines.append(record);
          known.put(keyOf.apply(open.get(i)), record);
          progress.accept((i + 1) + "/" + open.size() + "  " + line.apply(record));
        }
      }
    }
    List<R> records = new ArrayList<>();
    for (J job : jobs) {
      R record = known.get(keyOf.apply(job));
      if (record != null) {
        records.add(record);
      }
    }
    return List.copyOf(records);
  }
}
