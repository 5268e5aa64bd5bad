// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import dev.crossover.bench.result.JsonLines;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// A file of [FrontRecord]s, one JSON line each, that survives a kill at any moment.
public final class FrontFile {
  /// Name of the file beside a result file.
  public static final String NAME = "front.jsonl";

  private FrontFile() {}

  /// What files held.
  ///
  /// @param records one per setting and problem, the last one written, in order of first appearance
  /// @param warnings one line per line of a file that was skipped
  public record Contents(List<FrontRecord> records, List<String> warnings) {}

  /// The file of front records that lies beside a result file, or would.
  public static Path beside(Path results) {
    return results.toAbsolutePath().resolveSibling(NAME);
  }

  /// Reads files as if they were concatenated; a file that does not exist is empty. Lines that are
  /// no front records are skipped with a warning.
  public static Contents read(List<Path> paths) throws IOException {
    List<String> warnings = new ArrayList<>();
    List<FrontRecord> records =
        JsonLines.latest(paths, FrontRecord.class, FrontRecord::key, warnings);
    return new Contents(records, List.copyOf(warnings));
  }

  /// Writes records as a new file that appears whole or not at all, replacing an earlier one.
  public static void replace(Path path, List<FrontRecord> records) throws IOException {
    JsonLines.replace(path, records);
  }
}
