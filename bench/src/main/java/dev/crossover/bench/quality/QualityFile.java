// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.bench.result.JsonLines;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A file of [QualityRecord]s, one JSON line each, that survives a kill at any moment.
public final class QualityFile {
  /// The name of such a file inside its folder.
  public static final String NAME = "quality.jsonl";

  private final Path path;

  /// @param path the file; it need not exist
  public QualityFile(Path path) {
    this.path = path;
  }

  /// The file.
  public Path path() {
    return path;
  }

  /// What a file held.
  ///
  /// @param records one per run, the last one written, in order of first appearance
  /// @param warnings one line per line of the file that was skipped
  public record Contents(List<QualityRecord> records, List<String> warnings) {}

  /// Opens the file for appending records; nobody else writes it until it is closed.
  ///
  /// @throws IOException if another writer holds the file, or it cannot be opened
  public JsonLines open() throws IOException {
    return JsonLines.open(path);
  }

  /// Reads the file, which is empty when it does not exist; lines that are no quality records are
  /// skipped with a warning.
  public Contents read() throws IOException {
    return read(List.of(path));
  }

  /// Reads files as if they were concatenated.
  public static Contents read(List<Path> paths) throws IOException {
    List<String> warnings = new ArrayList<>();
    List<QualityRecord> records =
        JsonLines.latest(paths, QualityRecord.class, QualityFile::key, warnings);
    return new Contents(records, List.copyOf(warnings));
  }

  /// The name of a record of the file; refuses one that is incomplete.
  static String key(QualityRecord record) {
    record.requireComplete();
    return record.key();
  }
}
