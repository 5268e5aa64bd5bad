// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.QualityRecord.CurvePoint;
import dev.crossover.bench.quality.QualityRecord.Evaluation;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.OtherSetting;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import java.util.function.LongSupplier;
import org.jspecify.annotations.Nullable;

/// One training run, from its start or from where it was saved last, to its record.
///
/// What is learned depends on the run alone; the clock decides when a run is saved, when its share
/// of the budget is used up, and the times of the record.
final class QualityCourse {
  private static final int CURVE_POINTS = 60;
  private static final double NANOS = 1e9;

  private final QualityRun run;
  private final Settings settings;
  private final int number;
  private final int of;
  private final double share;
  private long start;
  private double trained;
  private long trainedSteps;

  /// What all runs have in common.
  ///
  /// @param threads number of threads, at least 1
  /// @param saveSeconds time between checkpoints
  /// @param progress is told
  /// @param nanos a clock
  /// @param machine where it runs
  /// @param commit of the code
  /// @param command as it was typed; empty where nobody typed one
  record Settings(
      int threads,
      double saveSeconds,
      QualityRunner.Progress progress,
      LongSupplier nanos,
      Machine machine,
      String commit,
      String command) {}

  /// @param number of the run, from 1
  /// @param of number of runs to do
  /// @param share of the budget in seconds, infinite without one
  QualityCourse(QualityRun run, Settings settings, int number, int of, double share) {
    this.run = run;
    this.settings = settings;
    this.number = number;
    this.of = of;
    this.share = share;
  }

  /// Runs to the end.
  ///
  /// @param saved the checkpoint to go on from and to write from time to time; absent: none
  /// @param kept where the model goes in the end; absent: nowhere
  QualityRecord follow(Optional<Path> saved, Optional<Path> kept) throws IOException {
    TaskTraining training;
    String note = "";
    try {
      training = fresh();
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      settings.progress.start(run, number, of, 0);
      return refused(String.valueOf(e.getMessage()));
    }
    if (saved.isPresent() && Files.exists(saved.get())) {
      try {
        training.resume(saved.get());
      } catch (TensorFileException e) {
        note = "a checkpoint could not be read: " + e.getMessage();
        training = fresh();
      }
    }
    settings.progress.start(run, number, of, training.steps());
    QualityRecord record = trained(training, note, saved);
    if (kept.isPresent() && record.status() != Status.DIVERGED) {
      save(training, kept.get());
    }
    return record;
  }

  /// Looks at a model that was kept with the settings of which its record says nothing.
  ///
  /// @param kept the model as its run left it
  /// @throws TensorFileException if the file holds no such model
  QualityRecord evaluate(QualityRecord record, Path kept) throws TensorFileException {
    TaskTraining training = fresh();
    training.resume(kept);
    settings.progress.start(run, number, of, training.steps());
    List<Evaluation> all = new ArrayList<>(record.evaluated());
    all.addAll(evaluations(training, run.missing(record)));
    return record.evaluated(all);
  }

  /// Looks at the task's own length, and at other lengths, with other settings.
  private List<Evaluation> evaluations(TaskTraining training, List<OtherSetting> others) {
    List<Evaluation> all = new ArrayList<>();
    for (OtherSetting other : others) {
      String text = other.of(run.recipe().layers());
      all.add(new Evaluation(text, training.look(run.task(), other)));
      for (int length : run.lengths()) {
        all.add(new Evaluation(text, training.look(run.task().atLength(length), other)));
      }
    }
    return all;
  }

  private TaskTraining fresh() {
    return new TaskTraining(run.task(), run.recipe(), run.seed(), run.dataSeed(), settings.threads);
  }

  private QualityRecord trained(TaskTraining training, String note, Optional<Path> saved)
      throws IOException {
    Recipe recipe = run.recipe();
    Task test = run.task();
    start = settings.nanos.getAsLong();
    long lastSave = start;
    double sum = 0;
    int summed = 0;
    Status status = Status.FINISHED;
    String reason = note;
    while (training.steps() < recipe.steps()) {
      long before = settings.nanos.getAsLong();
      double loss = training.step();
      trained += (settings.nanos.getAsLong() - before) / NANOS;
      trainedSteps++;
      sum += loss;
      summed++;
      if (!Double.isFinite(loss)) {
        status = Status.DIVERGED;
        reason = "the loss of step " + training.steps() + " was " + loss;
        break;
      }
      double left = share - (settings.nanos.getAsLong() - start) / NANOS;
      boolean last = left <= 0;
      if (training.steps() % recipe.evaluateEvery() == 0 || last) {
        TaskTraining.Look look = training.look(test);
        settings.progress.look(run, look, sum / summed, left);
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
      if (saved.isPresent()
          && (settings.nanos.getAsLong() - lastSave) / NANOS >= settings.saveSeconds) {
        save(training, saved.get());
        lastSave = settings.nanos.getAsLong();
      }
    }
    if (status != Status.DIVERGED) {
      finish(training);
    }
    return ended(
        training,
        status,
        reason,
        status == Status.DIVERGED ? List.of() : evaluations(training, run.settings()));
  }

  /// The last look at the task's own length, and those at other lengths.
  private void finish(TaskTraining training) {
    Task test = run.task();
    boolean looked =
        training.looks().stream()
            .anyMatch(look -> look.step() == training.steps() && look.length() == test.positions());
    if (!looked) {
      training.look(test);
    }
    for (int length : run.lengths()) {
      training.look(test.atLength(length));
    }
  }

  private QualityRecord ended(
      TaskTraining training, Status status, String reason, List<Evaluation> evaluations) {
    List<TaskTraining.Look> looks = List.copyOf(training.looks());
    long numbers =
        training.parameters().all().stream()
            .filter(parameter -> !parameter.isConstant())
            .mapToLong((Parameter parameter) -> parameter.value().size())
            .sum();
    double tokens =
        (double) trainedSteps * run.recipe().batch() * run.task().training().positions();
    return record(
        status,
        reason,
        training.steps(),
        thinned(training.losses()),
        looks,
        numbers,
        trained == 0 ? 0 : tokens / trained,
        (settings.nanos.getAsLong() - start) / NANOS,
        StateBytes.of(run.recipe().layers(), training.parameters(), run.task().positions()),
        evaluations,
        status == Status.DIVERGED ? null : byPosition(training));
  }

  private @Nullable List<TaskTraining.PositionLoss> byPosition(TaskTraining training) {
    return run.task().askedEverywhere().map(training::lossByPosition).orElse(null);
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

  private static void save(TaskTraining training, Path saved) throws IOException {
    Path folder = saved.getParent();
    if (folder != null) {
      Files.createDirectories(folder);
    }
    training.save(saved);
  }

  private QualityRecord refused(String reason) {
    return record(Status.REFUSED, reason, 0, List.of(), List.of(), 0, 0, 0, -1, List.of(), null);
  }

  private QualityRecord record(
      Status status,
      String reason,
      long steps,
      List<CurvePoint> curve,
      List<TaskTraining.Look> looks,
      long parameters,
      double tokensPerSecond,
      double seconds,
      long stateBytes,
      List<Evaluation> evaluations,
      @Nullable List<TaskTraining.PositionLoss> positionLosses) {
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
        settings.threads,
        settings.machine,
        settings.commit,
        settings.command.isEmpty() ? null : settings.command,
        evaluations.isEmpty() ? null : evaluations,
        positionLosses);
  }
}
