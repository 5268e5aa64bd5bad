// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.LongSupplier;

/// Runs training runs one after the other; each ends as a record.
///
/// Runs that the file already holds are left out; where it holds one without a setting at which its
/// model is to be looked at, the model that was kept is looked at, and trained anew where none was.
/// A run is saved from time to time; one that was
/// killed goes on from there and gives the bits of no interruption.
public final class QualityRunner {
  private static final double NANOS = 1e9;

  private final QualityFile file;
  private final Path checkpoints;
  private final Path models;
  private final double budgetSeconds;
  private final QualityCourse.Settings settings;

  /// What is told while runs go on.
  public interface Progress {
    /// A run starts or goes on.
    ///
    /// @param number from 1
    /// @param of number of runs to do
    /// @param step steps done before
    void start(QualityRun run, int number, int of, long step);

    /// A run looked at its test samples.
    ///
    /// @param loss mean training loss since the last look
    /// @param secondsLeft of this run's share of the budget, infinite without one
    void look(QualityRun run, TaskTraining.Look look, double loss, double secondsLeft);

    /// A run ended.
    void end(QualityRun run, QualityRecord record);
  }

  /// @param file where records go; checkpoints go beside it
  /// @param threads number of threads, at least 1
  /// @param budgetSeconds wall time of all runs together; infinite: none. Each run may take as long
  ///     as any other, and what short ones leave goes to the long ones, by a few steps of each
  /// @param saveSeconds wall time between checkpoints
  /// @param progress is told
  /// @param nanos a clock
  /// @param command as it was typed; empty where nobody typed one
  public QualityRunner(
      QualityFile file,
      int threads,
      double budgetSeconds,
      double saveSeconds,
      Progress progress,
      LongSupplier nanos,
      String command) {
    this.file = file;
    Path folder = file.path().toAbsolutePath().getParent();
    this.checkpoints = (folder == null ? Path.of(".") : folder).resolve("checkpoints");
    this.models = checkpoints.resolveSibling("models");
    this.budgetSeconds = budgetSeconds;
    this.settings =
        new QualityCourse.Settings(
            threads, saveSeconds, progress, nanos, Machine.current(), Commit.current(), command);
  }

  /// Does the runs that the file does not hold yet.
  ///
  /// @return the records of all runs, in their order
  public List<QualityRecord> run(List<QualityRun> runs) throws IOException {
    return run(runs, false);
  }

  /// Does the runs that the file does not hold yet.
  ///
  /// @param keep whether the models of runs that end are written to `models/`, one file each
  /// @return the records of all runs, in their order
  public List<QualityRecord> run(List<QualityRun> runs, boolean keep) throws IOException {
    Map<String, QualityRecord> known = new HashMap<>();
    for (QualityRecord record : file.read().records()) {
      known.put(record.key(), record);
    }
    List<QualityRun> later = new ArrayList<>();
    List<QualityRun> open = new ArrayList<>();
    for (QualityRun run : runs) {
      QualityRecord record = known.get(run.key());
      if (record == null) {
        open.add(run);
      } else if (!run.missing(record).isEmpty()) {
        (Files.exists(kept(run)) ? later : open).add(run);
      }
    }
    LongSupplier nanos = settings.nanos();
    long start = nanos.getAsLong();
    try (JsonLines lines = file.open()) {
      for (int i = 0; i < later.size(); i++) {
        QualityRun run = later.get(i);
        QualityRecord before = Objects.requireNonNull(known.get(run.key()));
        QualityRecord record =
            new QualityCourse(run, settings, i + 1, later.size(), Double.POSITIVE_INFINITY)
                .evaluate(before, kept(run));
        lines.append(record);
        known.put(record.key(), record);
        settings.progress().end(run, record);
      }
      double[] needs =
          Double.isInfinite(budgetSeconds)
              ? new double[open.size()]
              : QualityForecast.of(open, settings.threads(), nanos).stream()
                  .mapToDouble(QualityForecast::seconds)
                  .toArray();
      for (int i = 0; i < open.size(); i++) {
        QualityRun run = open.get(i);
        double used = (nanos.getAsLong() - start) / NANOS;
        double share =
            QualityForecast.share(Arrays.copyOfRange(needs, i, needs.length), budgetSeconds - used);
        QualityRecord record =
            new QualityCourse(run, settings, i + 1, open.size(), share)
                .follow(
                    Optional.of(checkpoint(run)), keep ? Optional.of(kept(run)) : Optional.empty());
        lines.append(record);
        Files.deleteIfExists(checkpoint(run));
        known.put(record.key(), record);
        settings.progress().end(run, record);
      }
    }
    List<QualityRecord> records = new ArrayList<>();
    for (QualityRun run : runs) {
      QualityRecord record = known.get(run.key());
      if (record != null) {
        records.add(record);
      }
    }
    return List.copyOf(records);
  }

  private Path checkpoint(QualityRun run) {
    return checkpoints.resolve(
        Long.toHexString(Draws.seedFor(run.seed(), run.key())) + ".safetensors");
  }

  private Path kept(QualityRun run) {
    return models.resolve(run.label().replaceAll("[^A-Za-z0-9.=-]+", "_") + ".safetensors");
  }
}
