// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.util.Map;
import java.util.TreeMap;

/// A language model of two small blocks over bytes, a few steps old, and its text.
final class SmallByteModel {
  private static final int STEPS = 20;

  private SmallByteModel() {}

  /// The text, always under the same name: samples of training are drawn by it.
  static Path text() throws IOException {
    Path text = Path.of("target", "small-byte-model.txt");
    StringBuilder lines = new StringBuilder();
    for (int i = 0; i < 900; i++) {
      lines.append("line ").append(i * i % 97).append(" of a text\n");
    }
    Files.createDirectories(Path.of("target"));
    Path written = Files.createTempFile(Path.of("target"), "small-byte-model", ".txt");
    Files.writeString(written, lines);
    return Files.move(written, text, StandardCopyOption.ATOMIC_MOVE);
  }

  /// @param more options of the model beside its sizes
  static Path trained(Path folder, Path text, Map<String, String> more) throws IOException {
    Task task = Tasks.parse("bytes:n=32,text=" + text);
    Map<String, String> small =
        new TreeMap<>(Map.of("width", "16", "layers", "2", "heads", "2", "batch", "4"));
    small.put("steps", String.valueOf(STEPS));
    small.putAll(more);
    TaskTraining training =
        new TaskTraining(task, Recipe.of(task, "tiled", small, task.positions()), 1, 42, 1);
    for (int step = 0; step < STEPS; step++) {
      training.step();
    }
    Path weights = folder.resolve("weights" + more.values() + ".safetensors");
    training.save(weights);
    return weights;
  }
}
