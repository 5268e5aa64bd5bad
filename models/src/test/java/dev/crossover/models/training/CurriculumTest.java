// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.training;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.graph.Parameter;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import java.nio.file.Path;
import java.util.Map;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class CurriculumTest {
  private static final Task OWN = Tasks.parse("bytes:n=64");

  @TempDir private Path folder;

  @Test
  void stagesFollowEachOtherAndTheTaskComesLast() {
    Curriculum curriculum = Curriculum.of("16:3/32:2");
    assertArrayEquals(
        new int[] {0, 0, 0, 1, 1, 2, 2}, IntStream.range(0, 7).map(curriculum::stage).toArray());
    assertEquals(16, curriculum.task(OWN, 0).positions());
    assertEquals(64, curriculum.task(OWN, 2).positions());
    assertEquals("16:3/32:2", curriculum.toString());
  }

  @Test
  void aStepReadsAsManyTokensAtEveryLength() {
    Curriculum curriculum = Curriculum.of("16:3/48:2/128:1");
    assertEquals(8, curriculum.batch(OWN, 0, 2));
    assertEquals(2, curriculum.batch(OWN, 1, 2));
    assertEquals(1, curriculum.batch(OWN, 2, 2));
    assertEquals(2, curriculum.batch(OWN, 3, 2));
  }

  @ParameterizedTest
  @ValueSource(strings = {"16", "16:", "16:3/", "16:3:4", "a:3", "0:3", "16:0"})
  void whatIsNoCurriculumIsRefused(String text) {
    IllegalArgumentException refusal =
        assertThrows(IllegalArgumentException.class, () -> Curriculum.of(text));
    assertTrue(String.valueOf(refusal.getMessage()).startsWith("curriculum "));
  }

  private static TaskTraining training(String curriculum) {
    Map<String, String> small =
        Map.of(
            "width",
            "16",
            "layers",
            "1",
            "heads",
            "1",
            "batch",
            "2",
            "steps",
            "6",
            "curriculum",
            curriculum);
    return new TaskTraining(OWN, Recipe.of(OWN, "tiled", small, 64), 1, 42, 1);
  }

  private static void train(TaskTraining training, int steps) {
    for (int s = 0; s < steps; s++) {
      training.step();
    }
  }

  @Test
  void aRunSavedInAnyStageGoesOnWithTheBitsOfNoInterruption() throws Exception {
    TaskTraining whole = training("16:2/32:2");
    train(whole, 6);
    for (int steps = 1; steps < 6; steps++) {
      TaskTraining first = training("16:2/32:2");
      train(first, steps);
      Path saved = folder.resolve(steps + ".safetensors");
      first.save(saved);
      TaskTraining second = training("16:2/32:2");
      second.resume(saved);
      train(second, 6 - steps);
      assertEquals(whole.losses(), second.losses());
      for (Parameter parameter : whole.parameters().all()) {
        assertArrayEquals(
            parameter.value().data(),
            second.parameters().get(parameter.name()).value().data(),
            parameter.name());
      }
    }
    TaskTraining without = training("");
    train(without, 6);
    assertNotEquals(whole.losses(), without.losses());
  }
}
