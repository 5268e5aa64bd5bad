// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.result;

import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// A file of [ResultRecord]s, one JSON line each, that survives a kill at any moment.
///
/// Files are merged by concatenation: records of the same point are reduced to one when read.
public final class ResultFile implements AutoCloseable {

  /// What a file held.
  ///
  /// @param records one per point and environment, in order of first appearance
  /// @param warnings one line per line of the file that was skipped
  public record Contents(List<ResultRecord> records, List<String> warnings) {}

  private final JsonLines lines;

  private ResultFile(JsonLines lines) {
    this.lines = lines;
  }

  /// Opens a file for appending, creating it and its folder if necessary.
  ///
  /// @throws IOException if another writer holds the file, or it cannot be opened
  public static ResultFile open(Path path) throws IOException {
    return new ResultFile(JsonLines.open(path));
  }

  /// Appends one record: on disk, whole, when this returns.
  public void append(ResultRecord record) throws IOException {
    lines.append(record);
  }

  /// The file.
  public Path path() {
    return lines.path();
  }

  /// Releases the file for other writers.
  @Override
  public void close() throws IOException {
    lines.close();
  }

  /// Reads files as if they were concatenated; a file that does not exist is empty.
  ///
  /// Of several records of one point and environment the one with the most steady forks counts,
  /// then the one with the most forks, the later of equals. Lines that are not records, or hold
  /// sizes or times that cannot be, are skipped with a warning.
  public static Contents read(Path... paths) throws IOException {
    Map<String, ResultRecord> records = new LinkedHashMap<>();
    List<String> warnings = new ArrayList<>();
    for (Path path : paths) {
      JsonLines.read(
          path,
          ResultRecord.class,
          record -> {
            requireComplete(record);
            records.merge(record.key(), record, ResultFile::better);
          },
          warnings);
    }
    return new Contents(List.copyOf(records.values()), List.copyOf(warnings));
  }

  /// Writes records as a new file that appears whole or not at all, replacing an earlier one; where
  /// the path is a symbolic link, the file that it leads to.
  ///
  /// @throws IOException if the folder cannot be written
  public static void replace(Path path, List<ResultRecord> records) throws IOException {
    JsonLines.replace(path, records);
  }

  private static void requireComplete(ResultRecord r) {
    if (r.schema() > ResultRecord.SCHEMA || r.schema() < 1) {
      throw new IllegalArgumentException(
          "schema must be from 1 to " + ResultRecord.SCHEMA + ", but was " + r.schema());
    }
    Object[] required = {
      r.study(),
      r.mechanism(),
      r.spec(),
      r.parameters(),
      r.approximates(),
      r.shape(),
      r.mask(),
      r.input(),
      r.status(),
      r.environment()
    };
    for (Object part : required) {
      if (part == null) {
        throw new IllegalArgumentException("record must be complete, but parts were missing");
      }
    }
    requireSizes(r);
    if (r.time() != null) {
      requireTimes(r.time());
    }
  }

  /// Sizes that are not known of a skipped point are zero.
  private static void requireSizes(ResultRecord r) {
    int least = r.status() == ResultRecord.Status.OK ? 1 : 0;
    requireSize("n", r.shape().n(), 1);
    requireSize("keySeqLen", r.shape().keySeqLen(), 1);
    requireSize("batch", r.shape().batch(), least);
    requireSize("heads", r.shape().heads(), least);
    requireSize("kvHeads", r.shape().kvHeads(), least);
    requireSize("headDim", r.shape().headDim(), least);
    requireSize("valueDim", r.shape().valueDim(), least);
    requireSize("threads", r.threads(), 1);
  }

  private static void requireSize(String name, int value, int least) {
    if (value < least) {
      throw new IllegalArgumentException(name + " must be >= " + least + ", but was " + value);
    }
  }

  private static void requireTimes(ResultRecord.Time time) {
    if (time.samples() == null || time.samples().isEmpty()) {
      throw new IllegalArgumentException("samples must hold a fork, but were empty");
    }
    for (List<Double> fork : time.samples()) {
      if (fork == null || fork.isEmpty()) {
        throw new IllegalArgumentException("samples must not hold an empty fork, but did");
      }
      for (Double sample : fork) {
        requireSeconds("samples", sample);
      }
    }
    requireSeconds("median", time.median());
    requireEnd("low", time.low());
    requireEnd("high", time.high());
    if (time.conditions() != null && time.conditions().size() != time.samples().size()) {
      throw new IllegalArgumentException(
          "conditions must be one for each fork ("
              + time.samples().size()
              + "), but were "
              + time.conditions().size());
    }
  }

  /// An end of the interval, which a single fork does not have.
  private static void requireEnd(String name, @Nullable Double seconds) {
    if (seconds != null) {
      requireSeconds(name, seconds);
    }
  }

  private static void requireSeconds(String name, @Nullable Double seconds) {
    if (seconds == null || !(seconds > 0 && seconds < Double.POSITIVE_INFINITY)) {
      throw new IllegalArgumentException(name + " must be seconds above zero, but held " + seconds);
    }
  }

  private static ResultRecord better(ResultRecord earlier, ResultRecord later) {
    if (later.steadyForks() != earlier.steadyForks()) {
      return later.steadyForks() > earlier.steadyForks() ? later : earlier;
    }
    return later.forks() >= earlier.forks() ? later : earlier;
  }
}
