// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.pretrained;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.models.graph.Parameter;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.Recipe;
import dev.crossover.models.training.TaskTraining;
import dev.crossover.models.training.TrainedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PretrainedModelTest {
  @TempDir private Path folder;

  /// A model of 256 tokens after one step, as training leaves it.
  private Path trained(String task) throws IOException {
    Task parsed = Tasks.parse(task);
    Map<String, String> small =
        Map.of("width", "16", "layers", "2", "heads", "2", "batch", "2", "steps", "2");
    Recipe recipe = Recipe.of(parsed, "tiled", small, parsed.positions());
    TaskTraining training = new TaskTraining(parsed, recipe, 1, 42, 1);
    training.step();
    Path file = folder.resolve("trained.safetensors");
    training.save(file);
    return file;
  }

  /// Half a unit in the last place of eleven binary digits is 2⁻¹¹ of the value, 2⁻²⁵ where it is
  /// subnormal.
  @Test
  void halfPrecisionKeepsOptionsSizesAndElevenDigitsOfEveryWeight() throws IOException {
    Path file = trained("bytes:n=16");
    TrainedModel whole = TrainedModel.read(file);
    Path half = folder.resolve("half.safetensors");
    whole.writeHalf(half);
    PretrainedModel read = PretrainedModel.load(half.toString()).requireBytes();
    assertEquals("half.safetensors", read.name());
    assertEquals(whole.layers(), read.model().layers());
    assertEquals(whole.sizes(), read.model().sizes());
    assertEquals(whole.task(), read.model().task());
    assertEquals(whole.parameters().names(), read.model().parameters().names());
    for (Parameter parameter : whole.parameters().all()) {
      float[] stored = read.model().parameters().get(parameter.name()).value().data();
      for (int i = 0; i < stored.length; i++) {
        float value = parameter.value().data()[i];
        double allowed = Math.max(Math.abs(value) * 0x1p-11, 0x1p-25);
        assertEquals(value, stored[i], allowed, parameter.name());
      }
    }
    assertTrue(Files.size(half) < Files.size(file) / 5, "no optimiser, half the bytes");
  }

  @Test
  void theBuiltInModelIsReadLikeAFileAndItsAbsenceIsTold() throws IOException {
    Path file = trained("bytes:n=16");
    PretrainedModel built = PretrainedModel.builtIn(Files.newInputStream(file));
    PretrainedModel named = PretrainedModel.load(file.toString());
    assertEquals("builtin", built.name());
    assertEquals(named.digest(), built.digest());
    for (Parameter parameter : named.model().parameters().all()) {
      assertArrayEquals(
          parameter.value().data(),
          built.model().parameters().get(parameter.name()).value().data());
    }
    IllegalArgumentException absent =
        assertThrows(IllegalArgumentException.class, () -> PretrainedModel.builtIn(null));
    assertTrue(String.valueOf(absent.getMessage()).contains("part of this build"));
  }

  @Test
  void modelsOfOtherTokensAreRefusedWhereBytesAreRead() throws IOException {
    PretrainedModel other = PretrainedModel.load(trained("mqar:n=16,pairs=2").toString());
    assertThrows(TensorFileException.class, other::requireBytes);
    String absent = folder.resolve("absent").toString();
    assertThrows(TensorFileException.class, () -> PretrainedModel.load(absent));
  }
}
