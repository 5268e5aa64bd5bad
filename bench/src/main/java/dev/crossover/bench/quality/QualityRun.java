// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.OtherSetting;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;

/// One run of a quality study, before it ran.
///
/// @param task what is learned
/// @param mixer as on the command line, options included
/// @param recipe how
/// @param lengths lengths beyond the task's own at which the trained model is tested
/// @param seed of the model
/// @param dataSeed of the samples
/// @param settings of its mechanism at which the trained model is looked at, too; not part of the
///     run's name, since they change nothing of what is learned
public record QualityRun(
    Task task,
    String mixer,
    Recipe recipe,
    List<Integer> lengths,
    long seed,
    long dataSeed,
    List<OtherSetting> settings) {

  /// Copies the lists.
  public QualityRun {
    lengths = List.copyOf(lengths);
    settings = List.copyOf(settings);
  }

  /// Runs whose models are looked at with other settings of their mechanisms once they are trained.
  ///
  /// @param settings each of a mechanism that a run trains
  /// @throws IllegalArgumentException if no run trains the mechanism, or a setting needs other
  ///     weights, by name
  public static List<QualityRun> evaluatedAt(List<QualityRun> runs, List<OtherSetting> settings) {
    for (OtherSetting setting : settings) {
      if (runs.stream().noneMatch(run -> setting.fits(run.recipe.layers()))) {
        throw new IllegalArgumentException(
            "evaluate-with must be a setting of a mechanism that is trained, but was "
                + setting.text());
      }
    }
    return runs.stream().map(run -> run.evaluatedAt(settings)).toList();
  }

  private QualityRun evaluatedAt(List<OtherSetting> all) {
    List<OtherSetting> own = all.stream().filter(setting -> setting.fits(recipe.layers())).toList();
    for (OtherSetting setting : own) {
      TaskTraining.requireLooksAt(task, recipe, setting);
      for (int length : lengths) {
        TaskTraining.requireLooksAt(task.atLength(length), recipe, setting);
      }
    }
    return new QualityRun(task, mixer, recipe, lengths, seed, dataSeed, own);
  }

  /// The settings at which a record of the run says nothing.
  List<OtherSetting> missing(QualityRecord record) {
    if (record.looks().isEmpty()) {
      return List.of();
    }
    return settings.stream()
        .filter(
            setting ->
                record.evaluated().stream()
                    .noneMatch(one -> one.mixer().equals(setting.of(recipe.layers()))))
        .toList();
  }

  /// All runs of a grid, task by task, mixer by mixer, rate by rate, seed by seed.
  ///
  /// @param tasks what is learned
  /// @param mixers `MIXER+key=value…`
  /// @param rates learning rates; empty: the recipe's own
  /// @param seeds number of model seeds, from 1
  /// @param options of all mixers
  /// @param lengths lengths beyond each task's own at which trained models are tested
  /// @param dataSeed of the samples
  public static List<QualityRun> grid(
      List<Task> tasks,
      List<String> mixers,
      List<String> rates,
      int seeds,
      Map<String, String> options,
      List<Integer> lengths,
      long dataSeed) {
    ArrayList<QualityRun> runs = new ArrayList<>();
    for (Task task : tasks) {
      int longest = task.positions();
      for (int length : lengths) {
        longest = Math.max(longest, task.atLength(length).positions());
      }
      for (String mixer : mixers) {
        for (String rate : rates.isEmpty() ? List.of("") : rates) {
          Map<String, String> given = new LinkedHashMap<>(options);
          if (!rate.isEmpty()) {
            given.put("lr", rate);
          }
          Recipe recipe = Recipe.of(task, mixer, given, longest);
          for (int seed = 1; seed <= seeds; seed++) {
            runs.add(new QualityRun(task, mixer, recipe, lengths, seed, dataSeed, List.of()));
          }
        }
      }
    }
    return List.copyOf(runs);
  }

  /// The name of the run: runs of the same name are the same.
  public String key() {
    return QualityRecord.key(Tasks.describe(task), mixer, recipe.toMap(), seed, dataSeed);
  }

  /// The run in a few words.
  public String label() {
    String rate = recipe.toMap().getOrDefault("lr", "?");
    return Tasks.describe(task) + "  " + mixer + "  lr " + rate + "  seed " + seed;
  }
}
