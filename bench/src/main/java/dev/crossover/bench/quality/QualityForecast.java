// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.LongSupplier;

/// How long a run takes at most, from a few of its steps and one look at its test samples.
///
/// @param seconds of all steps and looks; a run that solves its task ends earlier; zero where it is
///     refused
/// @param parameters numbers of the model
/// @param refusal why it cannot run; empty where it can
public record QualityForecast(double seconds, long parameters, String refusal) {
  private static final double NANOS = 1e9;
  private static final double PROBE_SECONDS = 0.4;
  private static final int LEAST_STEPS = 3;
  private static final int MOST_STEPS = 40;

  /// Forecasts of runs, in their order. Runs that differ in seeds and learning rate only are tried
  /// once.
  ///
  /// @param nanos a clock
  public static List<QualityForecast> of(List<QualityRun> runs, int threads, LongSupplier nanos) {
    Map<String, QualityForecast> tried = new HashMap<>();
    return runs.stream()
        .map(run -> tried.computeIfAbsent(kind(run), _ -> of(run, threads, nanos)))
        .toList();
  }

  private static String kind(QualityRun run) {
    Map<String, String> recipe = new TreeMap<>(run.recipe().toMap());
    recipe.remove("lr");
    return QualityRecord.key(Tasks.describe(run.task()), run.mixer(), recipe, 0, 0);
  }

  private static QualityForecast of(QualityRun run, int threads, LongSupplier nanos) {
    TaskTraining training;
    try {
      training = new TaskTraining(run.task(), run.recipe(), run.seed(), run.dataSeed(), threads);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return new QualityForecast(0, 0, String.valueOf(e.getMessage()));
    }
    long start = nanos.getAsLong();
    double step = Double.POSITIVE_INFINITY;
    for (int i = 0; i < MOST_STEPS; i++) {
      long before = nanos.getAsLong();
      training.step();
      long after = nanos.getAsLong();
      step = Math.min(step, (after - before) / NANOS);
      if (i + 1 >= LEAST_STEPS && (after - start) / NANOS >= PROBE_SECONDS) {
        break;
      }
    }
    Task task = run.task();
    long before = nanos.getAsLong();
    training.look(task);
    double look = (nanos.getAsLong() - before) / NANOS;
    double looks = run.recipe().steps() / run.recipe().evaluateEvery() + 1.0;
    for (int length : run.lengths()) {
      looks += (double) task.atLength(length).positions() / task.positions();
    }
    return new QualityForecast(
        step * run.recipe().steps() + look * looks, training.parameters().size(), "");
  }

  /// The largest time for every run so that all together take no longer than what is left; runs
  /// that need less leave the rest to those that need more.
  ///
  /// @param needs seconds of each run
  /// @param left seconds of all together
  static double share(double[] needs, double left) {
    double[] sorted = needs.clone();
    Arrays.sort(sorted);
    double rest = left;
    for (int i = 0; i < sorted.length; i++) {
      double even = rest / (sorted.length - i);
      if (sorted[i] > even || i == sorted.length - 1) {
        return Math.max(0, even);
      }
      rest -= sorted[i];
    }
    return left;
  }
}
