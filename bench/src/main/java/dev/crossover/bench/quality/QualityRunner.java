// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.QualityRecord.CurvePoint;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.function.LongSupplier;

/// Runs training runs one after the other; each ends as a record.
///
/// Runs that the file already holds are left out. A run is saved from time to time; one that was
/// killed goes on from there and gives the bits of no interruption.
public final class QualityRunner {
  private static final int CURVE_POINTS = 60;
  private static final double NANOS = 1e9;

  private final QualityFile file;
  private final Path checkpoints;
  private final Path models;
  private final int threads;
  private final double budgetSeconds;
  private final double saveSeconds;
  private final Progress progress;
  private final LongSupplier nanos;
  private final String command;
  private final Machine machine = Machine.current();
  private final String commit = Commit.current();

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
    this.threads = threads;
    this.budgetSeconds = budgetSeconds;
    this.saveSeconds = saveSeconds;
    this.progress = progress;
    this.nanos = nanos;
    this.command = command;
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
    List<QualityRun> open = runs.stream().filter(run -> !known.containsKey(run.key())).toList();
    long start = nanos.getAsLong();
    try (JsonLines lines = file.open()) {
      double[] needs =
          Double.isInfinite(budgetSeconds)
              ? new double[open.size()]
              : QualityForecast.of(open, threads, nanos).stream()
                  .mapToDouble(QualityForecast::seconds)
                  .toArray();
      for (int i = 0; i < open.size(); i++) {
        double used = (nanos.getAsLong() - start) / NANOS;
        double share =
            QualityForecast.share(Arrays.copyOfRange(needs, i, needs.length), budgetSeconds - used);
        QualityRecord record = run(open.get(i), i + 1, open.size(), share, keep);
        lines.append(record);
        Files.deleteIfExists(checkpoint(open.get(i)));
        known.put(record.key(), record);
        progress.end(open.get(i), record);
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

  private QualityRecord run(QualityRun run, int number, int of, double share, boolean keep)
      throws IOException {
    TaskTraining training;
    try {
      training = new TaskTraining(run.task(), run.recipe(), run.seed(), run.dataSeed(), threads);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      progress.start(run, number, of, 0);
      return refused(run, String.valueOf(e.getMessage()));
    }
    Path saved = checkpoint(run);
    String note = "";
    if (Files.exists(saved)) {
      try {
        training.resume(saved);
      } catch (TensorFileException e) {
        note = "a checkpoint could not be read: " + e.getMessage();
        training = new TaskTraining(run.task(), run.recipe(), run.seed(), run.dataSeed(), threads);
      }
    }
    progress.start(run, number, of, training.steps());
    QualityRecord record = new Course(run, training, share, note).follow(saved);
    if (keep && record.status() != Status.DIVERGED) {
      Files.createDirectories(models);
      String name = run.label().replaceAll("[^A-Za-z0-9.=-]+", "_") + ".safetensors";
      training.save(models.resolve(name));
    }
    return record;
  }

  private QualityRecord refused(QualityRun run, String reason) {
    return record(run, Status.REFUSED, reason, 0, List.of(), List.of(), 0, 0, 0, -1);
  }

  private QualityRecord record(
      QualityRun run,
      Status status,
      String reason,
      long steps,
      List<CurvePoint> curve,
      List<TaskTraining.Look> looks,
      long parameters,
      double tokensPerSecond,
      double seconds,
      long stateBytes) {
    return new QualityRecord(
        "quality",
        Tasks.describe(run.task()),
        run.mixer(),
        run.recipe().toMap(),
        run.seed(),
        run.dataSeed(),
        status,
        reason,
        steps,
        curve,
        looks,
        run.task().chance(),
        parameters,
        stateBytes,
        tokensPerSecond,
        seconds,
        threads,
        machine,
        commit,
        command.isEmpty() ? null : command);
  }

  /// One run from where it is to its end.
  private final class Course {
    private final QualityRun run;
    private final TaskTraining training;
    private final double share;
    private final String note;
    private final long start = nanos.getAsLong();
    private double trained;
    private long trainedSteps;

    Course(QualityRun run, TaskTraining training, double share, String note) {
      this.run = run;
      this.training = training;
      this.share = share;
      this.note = note;
    }

    QualityRecord follow(Path saved) throws IOException {
      Recipe recipe = run.recipe();
      Task test = run.task();
      long lastSave = start;
      double sum = 0;
      int summed = 0;
      Status status = Status.FINISHED;
      String reason = note;
      while (training.steps() < recipe.steps()) {
        long before = nanos.getAsLong();
        double loss = training.step();
        trained += (nanos.getAsLong() - before) / NANOS;
        trainedSteps++;
        sum += loss;
        summed++;
        if (!Double.isFinite(loss)) {
          status = Status.DIVERGED;
          reason = "the loss of step " + training.steps() + " was " + loss;
          break;
        }
        double left = share - (nanos.getAsLong() - start) / NANOS;
        boolean last = left <= 0;
        if (training.steps() % recipe.evaluateEvery() == 0 || last) {
          TaskTraining.Look look = training.look(test);
          progress.look(run, look, sum / summed, left);
          sum = 0;
          summed = 0;
          if (look.accuracy() >= recipe.stopAt()) {
            status = Status.SOLVED;
            break;
          }
          if (last && training.steps() < recipe.steps()) {
            status = Status.BUDGET;
            reason = String.format(Locale.ROOT, "%.0f s were its share of the budget", share);
            break;
          }
        }
        if ((nanos.getAsLong() - lastSave) / NANOS >= saveSeconds) {
          Files.createDirectories(checkpoints);
          training.save(saved);
          lastSave = nanos.getAsLong();
        }
      }
      if (status != Status.DIVERGED) {
        finish(test);
      }
      return ended(status, reason);
    }

    /// The last look at the task's own length, and those at other lengths.
    private void finish(Task test) {
      boolean looked =
          training.looks().stream()
              .anyMatch(
                  look -> look.step() == training.steps() && look.length() == test.positions());
      if (!looked) {
        training.look(test);
      }
      for (int length : run.lengths()) {
        training.look(test.atLength(length));
      }
    }

    private QualityRecord ended(Status status, String reason) {
      List<TaskTraining.Look> looks = List.copyOf(training.looks());
      long numbers =
          training.parameters().all().stream()
              .filter(parameter -> !parameter.isConstant())
              .mapToLong((Parameter parameter) -> parameter.value().size())
              .sum();
      double tokens =
          (double) trainedSteps * run.recipe().batch() * run.task().training().positions();
      return record(
          run,
          status,
          reason,
          training.steps(),
          thinned(training.losses()),
          looks,
          numbers,
          trained == 0 ? 0 : tokens / trained,
          (nanos.getAsLong() - start) / NANOS,
          StateBytes.of(run.recipe(), training.parameters(), run.task().positions()));
    }

    private static List<CurvePoint> thinned(List<Double> losses) {
      List<CurvePoint> points = new ArrayList<>();
      int stretch = Math.max(1, Math.ceilDiv(losses.size(), CURVE_POINTS));
      for (int from = 0; from < losses.size(); from += stretch) {
        List<Double> part = losses.subList(from, Math.min(losses.size(), from + stretch));
        double mean = part.stream().mapToDouble(Double::doubleValue).average().orElse(Double.NaN);
        points.add(new CurvePoint(from + part.size(), mean));
      }
      return points;
    }
  }
}
