// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointJob;
import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;

/// Computes training runs of grids; a point is the name of a run.
///
/// Runs have no clock, no budget and no checkpoints: the times of their records are 0, everything
/// else is what [QualityRunner] gives.
///
/// @param grids as JSON, each a [QualityGrid]
/// @param threads number of threads, at least 1; what is learned does not depend on it
/// @param commit of the code that asks, which is the same as here
/// @param command as it was typed; empty where nobody typed one
public record QualityJob(List<String> grids, int threads, String commit, String command)
    implements PointJob {

  /// Copies the grids.
  public QualityJob {
    grids = List.copyOf(grids);
  }

  /// Does the runs that a file does not hold yet.
  ///
  /// @param grids that hold the runs
  /// @param jobs where to run
  /// @param threads number of threads of a run
  /// @param command as it was typed
  /// @param progress is told of every record
  /// @param warnings receives one line per line of the file that was skipped
  /// @return the records of all runs, in their order
  public static List<QualityRecord> complete(
      QualityFile file,
      List<QualityGrid> grids,
      List<QualityRun> runs,
      Jobs jobs,
      int threads,
      String command,
      PointStudy.Progress<QualityRecord> progress,
      Consumer<String> warnings)
      throws IOException {
    List<String> texts = grids.stream().map(RecordJson::write).toList();
    return new PointStudy<>(file.path(), QualityRecord.class, QualityFile::key)
        .complete(
            runs.stream()
                .map(QualityRun::key)
                .distinct()
                .map(key -> new PointStudy.Point(key, key))
                .toList(),
            new QualityJob(texts, threads, Commit.current(), command),
            jobs,
            progress,
            warnings);
  }

  @Override
  public String compute(String point) throws IOException {
    QualityRun run =
        grids.stream()
            .flatMap(grid -> RecordJson.read(grid, QualityGrid.class).runs().stream())
            .filter(one -> one.key().equals(point))
            .findFirst()
            .orElseThrow(
                () -> new IllegalArgumentException("run must be of the grid, but was " + point));
    QualityCourse.Settings settings =
        new QualityCourse.Settings(
            threads,
            Double.POSITIVE_INFINITY,
            new Silence(),
            () -> 0,
            Machine.current(),
            commit,
            command);
    QualityRecord record =
        new QualityCourse(run, settings, 1, 1, Double.POSITIVE_INFINITY)
            .follow(Optional.empty(), Optional.empty());
    return RecordJson.write(record);
  }

  /// Whoever asked is told by the record.
  private static final class Silence implements QualityRunner.Progress {
    @Override
    public void start(QualityRun run, int number, int of, long step) {}

    @Override
    public void look(QualityRun run, TaskTraining.Look look, double loss, double secondsLeft) {}

    @Override
    public void end(QualityRun run, QualityRecord record) {}
  }
}
