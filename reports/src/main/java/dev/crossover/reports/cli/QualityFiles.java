// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.quality.QualityFile;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;

/// Sorts what a command was given into result files of sweeps and of training.
///
/// @param sweeps files of measured points
/// @param quality files of training runs
record QualityFiles(List<Path> sweeps, List<Path> quality) {

  /// Folders stand for the `results.jsonl` and `quality.jsonl` they hold; a file is of training
  /// runs where its name ends so. A file of sweeps brings the training runs that lie beside it.
  ///
  /// @throws UsageException if a folder holds neither, or a path leads to nothing
  static QualityFiles of(List<Path> paths) throws UsageException {
    List<Path> sweeps = new ArrayList<>();
    List<Path> quality = new ArrayList<>();
    for (Path path : paths) {
      if (Files.isDirectory(path)) {
        Path results = SweepCommand.resultsIn(path);
        Path trained = path.resolve(QualityFile.NAME);
        if (!Files.exists(results) && !Files.exists(trained)) {
          throw new UsageException(
              path
                  + ": the folder must hold "
                  + results.getFileName()
                  + " or "
                  + QualityFile.NAME
                  + ", but holds neither");
        }
        add(sweeps, results);
        add(quality, trained);
      } else if (isQuality(path)) {
        RecordFiles.requireAll(List.of(path));
        quality.add(path);
      } else {
        RecordFiles.requireAll(List.of(path));
        sweeps.add(path);
        add(quality, path.resolveSibling(QualityFile.NAME));
      }
    }
    return new QualityFiles(
        sweeps.stream().distinct().toList(), quality.stream().distinct().toList());
  }

  /// Whether a file is of training runs, by its name.
  static boolean isQuality(Path path) {
    return path.toString().endsWith(QualityFile.NAME);
  }

  private static void add(List<Path> files, Path file) {
    if (Files.exists(file)) {
      files.add(file);
    }
  }
}
