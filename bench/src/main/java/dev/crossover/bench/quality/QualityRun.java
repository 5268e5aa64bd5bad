// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
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
public record QualityRun(
    Task task, String mixer, Recipe recipe, List<Integer> lengths, long seed, long dataSeed) {

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
            runs.add(new QualityRun(task, mixer, recipe, lengths, seed, dataSeed));
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
