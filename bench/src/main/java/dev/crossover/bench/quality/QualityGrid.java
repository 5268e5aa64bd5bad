// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// A grid of runs: every task with every mixer, learning rate and seed.
///
/// @param tasks what is learned
/// @param mixers `MIXER+key=value…`; empty: a choice for each task
/// @param rates learning rates; empty: the recipe's own
/// @param seeds number of model seeds, from 1
/// @param options of all mixers
/// @param lengths lengths beyond each task's own at which trained models are tested; empty: the
///     task's choice
/// @param dataSeed of the samples
public record QualityGrid(
    List<String> tasks,
    List<String> mixers,
    List<String> rates,
    int seeds,
    Map<String, String> options,
    List<Integer> lengths,
    long dataSeed) {
  /// The seed of samples where none is given.
  public static final long DATA_SEED = 42;

  private static final List<String> DEFAULT_MIXERS =
      List.of("tiled", "linear_transformer", "deltanet", "lstm");
  private static final List<String> PARITY_MIXERS =
      List.of("lstm", "deltanet+beta_max=2+conv=0", "mamba2_ssd", "tiled");

  /// Validates the seeds and copies.
  public QualityGrid {
    if (seeds < 1) {
      throw new IllegalArgumentException("seeds must be >= 1, but was " + seeds);
    }
    tasks = List.copyOf(tasks);
    mixers = List.copyOf(mixers);
    rates = List.copyOf(rates);
    options = new LinkedHashMap<>(options);
    lengths = List.copyOf(lengths);
  }

  /// The grid of some tasks with nothing else said.
  public static QualityGrid of(List<String> tasks) {
    return new QualityGrid(tasks, List.of(), List.of(), 1, Map.of(), List.of(), DATA_SEED);
  }

  /// The runs, task by task, mixer by mixer, rate by rate, seed by seed.
  ///
  /// @throws IllegalArgumentException naming what is unknown or breaks a rule
  public List<QualityRun> runs() {
    List<QualityRun> runs = new ArrayList<>();
    for (String text : tasks) {
      Task task = Tasks.parse(text);
      List<String> choice = Tasks.nameOf(task).equals("parity") ? PARITY_MIXERS : DEFAULT_MIXERS;
      runs.addAll(
          QualityRun.grid(
              List.of(task),
              mixers.isEmpty() ? choice : mixers,
              rates,
              seeds,
              options,
              lengths.isEmpty() ? task.longer() : lengths,
              dataSeed));
    }
    return List.copyOf(runs);
  }
}
