// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jobs;

import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.result.RecordJson;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.function.Consumer;
import java.util.function.Function;

/// Brings a file of records up to the points of a study: points that it holds are left out, the
/// others are computed, and each record is on disk before the next is taken.
///
/// Whoever is killed meanwhile loses what is not finished: running the study again computes the
/// rest. In the end the study's records stand in the order of its points after those of other
/// studies, so that the file does not tell where or in which order they were computed.
///
/// @param file of records, one JSON line each; it need not exist
/// @param type the records' class
/// @param key identity of a record; refuses an incomplete one with an [IllegalArgumentException]
/// @param <R> the records' class
public record PointStudy<R>(Path file, Class<R> type, Function<R, String> key) {

  /// One point.
  ///
  /// @param key identity of its record
  /// @param text what a job computes it from
  public record Point(String key, String text) {}

  /// What is told while points are computed.
  ///
  /// @param <R> the records' class
  @FunctionalInterface
  public interface Progress<R> {
    /// Points are about to be computed; not told where the file holds them all.
    ///
    /// @param of number of points to compute, at least 1
    default void start(int of) {}

    /// A point was computed and its record is on disk.
    ///
    /// @param done number of points computed by now
    /// @param of number of points to compute; those that the file held do not count
    /// @param record of the point
    void done(int done, int of, R record);
  }

  /// Computes what the file does not hold yet.
  ///
  /// @param points with different keys
  /// @param jobs where to compute
  /// @param progress is told of every record
  /// @param warnings receives one line per line of the file that was skipped
  /// @return the records of all points, in their order
  /// @throws IOException if the file cannot be read or written, a point not be computed, or a
  ///     record is of another point than was asked for
  public List<R> complete(
      List<Point> points, PointJob job, Jobs jobs, Progress<R> progress, Consumer<String> warnings)
      throws IOException {
    List<String> unread = new ArrayList<>();
    Map<String, R> known = known(unread);
    unread.forEach(warnings);
    List<Point> open = points.stream().filter(point -> !known.containsKey(point.key)).toList();
    if (!open.isEmpty()) {
      progress.start(open.size());
      try (JsonLines lines = JsonLines.open(file)) {
        int[] done = {0};
        jobs.run(
            job,
            open.stream().map(Point::text).toList(),
            (index, text) -> {
              String wanted = open.get(index).key;
              R record = RecordJson.read(text, type);
              requireKey(wanted, key.apply(record));
              lines.append(record);
              known.put(wanted, record);
              progress.done(++done[0], open.size(), record);
            });
      }
    }
    Map<String, R> ordered = ordered(points, known);
    // a line that this version cannot read would be lost
    if (unread.isEmpty() && !List.copyOf(ordered.keySet()).equals(List.copyOf(known.keySet()))) {
      JsonLines.replace(file, List.copyOf(ordered.values()));
    }
    return points.stream().map(point -> record(ordered, point)).toList();
  }

  private Map<String, R> known(List<String> unread) throws IOException {
    Map<String, R> known = new LinkedHashMap<>();
    for (R record : JsonLines.latest(List.of(file), type, key, unread)) {
      known.put(key.apply(record), record);
    }
    return known;
  }

  private static void requireKey(String wanted, String key) throws IOException {
    if (!key.equals(wanted)) {
      throw new IOException(
          "record must be of the point that was asked for (" + wanted + "), but was of " + key);
    }
  }

  /// Records of other studies as they stood, then those of the points.
  private Map<String, R> ordered(List<Point> points, Map<String, R> known) {
    Map<String, R> ordered = new LinkedHashMap<>(known);
    for (Point point : points) {
      ordered.remove(point.key);
      ordered.put(point.key, record(known, point));
    }
    return ordered;
  }

  private R record(Map<String, R> known, Point point) {
    return Objects.requireNonNull(known.get(point.key), "a record for every point");
  }
}
