// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import java.net.URISyntaxException;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// What replays say where the weights are not there; with them see [MiniLmTest].
class MiniLmReplayTest {
  @TempDir private Path folder;

  static Path golden(String name) throws URISyntaxException {
    return Path.of(
        Objects.requireNonNull(MiniLmReplayTest.class.getResource("/golden/" + name)).toURI());
  }

  @Test
  void withoutWeightsFilesAreRefusedSayingWhatGivesThem() throws Exception {
    String before = System.getProperty(MiniLmFiles.WEIGHTS);
    System.setProperty(MiniLmFiles.WEIGHTS, folder.resolve("absent.onnx").toString());
    try {
      for (String name : new String[] {"minilm__cat.safetensors", "minilm__swap.safetensors"}) {
        ReplayResult result = new MiniLmReplay().replay(golden(name));
        assertEquals(Status.CANNOT_REPLAY, result.status());
        assertTrue(result.detail().contains("mvn -Pminilm"), result.detail());
        assertTrue(result.detail().contains("--weights"), result.detail());
      }
    } finally {
      if (before == null) {
        System.clearProperty(MiniLmFiles.WEIGHTS);
      } else {
        System.setProperty(MiniLmFiles.WEIGHTS, before);
      }
    }
  }

  @Test
  void theKindIsFound() throws Exception {
    Path file = golden("minilm__cat.safetensors");
    assertTrue(
        GoldenReplay.all().stream()
            .anyMatch(kind -> kind instanceof MiniLmReplay && kind.accepts(file)));
  }

  @Test
  void aDifferenceIsTold() {
    double[] expected = {1, 2};
    assertTrue(MiniLmReplay.compare("a", expected, new double[] {1, 2 + 1e-7}, 1e-6).passed());
    assertEquals(
        1e-5,
        MiniLmReplay.compare("a", expected, new double[] {1, 2 + 1e-5}, 1e-6).deviation(),
        1e-9);
    assertTrue(!MiniLmReplay.compare("a", expected, new double[] {1, Double.NaN}, 1e-6).passed());
    assertTrue(!MiniLmReplay.compare("a", expected, new double[] {1}, 1e-6).passed());
  }
}
