// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.tensor.DType;
import dev.crossover.attention.tensor.SafeTensors;
import dev.crossover.attention.tensor.TensorFileWriter;
import java.net.URISyntaxException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

/// Layers, models, training runs and optimisers against golden files, and that a replay can fail.
class ModelReplayTest {
  @TempDir private Path folder;

  private static Path golden() throws URISyntaxException {
    return Path.of(
            Objects.requireNonNull(
                    ModelReplayTest.class.getResource("/golden/layer__lstm.safetensors"))
                .toURI())
        .resolveSibling("");
  }

  static List<Path> files() throws Exception {
    try (Stream<Path> files = Files.list(golden())) {
      return files.filter(new ModelReplay()::accepts).sorted().toList();
    }
  }

  @ParameterizedTest
  @MethodSource("files")
  void everyAnswerIsWithinItsTolerance(Path file) {
    ReplayResult result = new ModelReplay().replay(file);
    assertTrue(result.passed(), result.line());
  }

  @Test
  void allKindsAreThere() throws Exception {
    List<String> names = files().stream().map(f -> String.valueOf(f.getFileName())).toList();
    for (String prefix : new ModelReplay().prefixes()) {
      assertTrue(names.stream().anyMatch(name -> name.startsWith(prefix)), prefix);
    }
  }

  @Test
  void isFoundAsAService() {
    assertTrue(GoldenReplay.all().stream().anyMatch(ModelReplay.class::isInstance));
  }

  @Test
  void aWrongAnswerDeviates() throws Exception {
    Path wrong = changed("layer__layer_norm", Map.of(), "grad_layer.weight");
    ReplayResult result = new ModelReplay().replay(wrong);
    assertEquals(Status.DEVIATED, result.status());
    assertEquals("grad_layer.weight", result.detail());
  }

  @Test
  void anUnknownKeyIsRefusedByName() throws Exception {
    Path odd = changed("layer__layer_norm", Map.of("colour", "red"), "");
    ReplayResult result = new ModelReplay().replay(odd);
    assertEquals(Status.CANNOT_REPLAY, result.status());
    assertTrue(result.detail().contains("colour"), result.detail());
  }

  @Test
  void anUnknownValueIsRefusedByName() throws Exception {
    Path odd = changed("layer__layer_norm", Map.of("qk_norm", "l3"), "");
    ReplayResult result = new ModelReplay().replay(odd);
    assertEquals(Status.CANNOT_REPLAY, result.status());
    assertTrue(result.detail().contains("qk_norm must be one of [none, l2]"), result.detail());
  }

  /// A copy of a file with more metadata, and with one answer moved by 0.01.
  private Path changed(String name, Map<String, String> keys, String moved) throws Exception {
    SafeTensors file = SafeTensors.open(golden().resolve(name + ".safetensors"));
    TensorFileWriter writer = new TensorFileWriter();
    file.metadata().forEach(writer::metadata);
    keys.forEach(writer::metadata);
    for (String tensor : file.names()) {
      double[] values = file.doubles(tensor);
      if (tensor.equals(moved)) {
        values[0] += 0.01;
      }
      int[] shape = new int[file.shape(tensor).length];
      for (int i = 0; i < shape.length; i++) {
        shape[i] = (int) file.shape(tensor)[i];
      }
      DType dtype = file.dtype(tensor);
      writer.add(tensor, dtype, values, shape);
    }
    Path copy = folder.resolve(name + "_changed.safetensors");
    writer.writeSafeTensors(copy);
    return copy;
  }
}
