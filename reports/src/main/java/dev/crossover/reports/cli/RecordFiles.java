package dev.crossover.reports.cli;

import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/// Reads the result files a command was given.
final class RecordFiles {
  private RecordFiles() {}

  /// The records of some files, or of the default one when none is given.
  ///
  /// @param files result files
  /// @param err where warnings about skipped lines go
  /// @throws UsageException if a file does not exist or there is no record
  static List<ResultRecord> read(List<Path> files, PrintWriter err)
      throws IOException, UsageException {
    List<Path> all =
        files.isEmpty() ? List.of(SweepCommand.resultsIn(SweepCommand.DEFAULT_FOLDER)) : files;
    for (Path file : all) {
      if (!Files.isRegularFile(file)) {
        throw new UsageException(file + ": there is no such result file");
      }
    }
    ResultFile.Contents contents = ResultFile.read(all.toArray(Path[]::new));
    if (contents.records().isEmpty()) {
      throw new UsageException(all.getFirst() + ": the file holds no records");
    }
    contents.warnings().forEach(err::println);
    return contents.records();
  }
}
