// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;

/// A language model of two small blocks, a few steps old, and the text that it read.
///
/// @param weights its file
/// @param text the text's file
record SmallModel(Path weights, Path text) {
  private static final int STEPS = 5;

  /// Records of [#swap]: five mechanisms, each as it is, transferred and from scratch.
  static final int POINTS = 15;

  /// Trains the model.
  ///
  /// @param folder where both files go
  static SmallModel in(Path folder) throws IOException {
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 900; i++) {
      lines.append("line ").append(i * i % 97).append(" of a text\n");
    }
    Path text = Files.writeString(folder.resolve("text.txt"), lines);
    Task task = Tasks.parse("bytes:n=32,text=" + text);
    Map<String, String> small =
        Map.of("width", "16", "layers", "2", "heads", "2", "batch", "4", "steps", "5");
    Recipe recipe = Recipe.of(task, "tiled", small, task.positions());
    TaskTraining training = new TaskTraining(task, recipe, 1, 42, 1);
    for (int step = 0; step < STEPS; step++) {
      training.step();
    }
    Path weights = folder.resolve("weights.safetensors");
    training.save(weights);
    return new SmallModel(weights, text);
  }

  /// A study of the model, but for the folder that its records go to. One mechanism has no causal
  /// form and is refused.
  String swap() {
    return "swap --model bytes --weights "
        + weights
        + " --texts "
        + text
        + " --n 32,64 --windows 3 -m tiled,performer,hedgehog,longformer:window=4,linformer"
        + " --transfer-steps 2 --tune-steps 2 --scratch-steps 2 --batch 2 --train-n 32 -o ";
  }
}
