// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.result.JmhJson;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.FrontFile;
import dev.crossover.bench.tune.FrontRecord;
import java.io.IOException;
import java.io.PrintWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Reads the result files a command was given.
final class RecordFiles {
  private RecordFiles() {}

  /// The result files that were named: of a folder the one in it, of nothing the default one.
  static List<Path> named(List<Path> files) {
    if (files.isEmpty()) {
      return List.of(SweepCommand.resultsIn(SweepCommand.DEFAULT_FOLDER));
    }
    return files.stream()
        .map(file -> Files.isDirectory(file) ? SweepCommand.resultsIn(file) : file)
        .toList();
  }

  /// What `crossover tune` left beside result files; nothing where it did not.
  ///
  /// @param files result files
  /// @param err where warnings about skipped lines go
  static List<FrontRecord> front(List<Path> files, PrintWriter err) throws IOException {
    FrontFile.Contents contents =
        FrontFile.read(files.stream().map(FrontFile::beside).distinct().toList());
    contents.warnings().forEach(err::println);
    return contents.records();
  }

  /// The records of some files, or of the default one when none is given.
  ///
  /// @param files result files, or results that JMH wrote as JSON
  /// @param err where warnings about skipped lines go
  /// @throws UsageException if a file does not exist or there is no record
  static List<ResultRecord> read(List<Path> files, PrintWriter err)
      throws IOException, UsageException {
    List<Path> all = named(files);
    requireAll(all);
    List<Path> own = new ArrayList<>();
    List<ResultRecord> records = new ArrayList<>();
    for (Path file : all) {
      if (JmhJson.isJmh(file)) {
        records.addAll(JmhJson.read(file));
      } else {
        own.add(file);
      }
    }
    ResultFile.Contents contents = ResultFile.read(own.toArray(Path[]::new));
    records.addAll(contents.records());
    List<String> warnings = contents.warnings();
    if (records.isEmpty()) {
      throw new UsageException(
          warnings.isEmpty()
              ? all.getFirst() + ": the file must hold records, but holds no records"
              : warnings.getFirst() + more(warnings.size()) + "; the file holds no records");
    }
    warnings.forEach(err::println);
    return records;
  }

  /// Refuses what is not a result file before anything is read.
  static void requireAll(List<Path> files) throws UsageException {
    for (Path file : files) {
      if (!Files.isRegularFile(file)) {
        throw new UsageException(file + ": there is no such result file");
      }
      if (file.endsWith(FrontFile.NAME)) {
        throw new UsageException(
            file
                + ": a result file must be named, but was one of tuned settings; it is read along"
                + " with the result file beside it");
      }
    }
  }

  private static String more(int lines) {
    return lines == 1 ? "" : " (as were " + (lines - 1) + " more)";
  }
}
