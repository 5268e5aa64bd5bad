// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import java.io.IOException;
import java.net.URISyntaxException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Objects;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Samples of published generators, solved from their tokens.
class TaskReplayTest {
  @TempDir private Path folder;

  private static Path golden() throws URISyntaxException {
    return Path.of(
            Objects.requireNonNull(
                    TaskReplayTest.class.getResource("/golden/task__parity.safetensors"))
                .toURI())
        .resolveSibling("");
  }

  @Test
  void everySampleFileIsSolved() throws Exception {
    try (Stream<Path> files = Files.list(golden())) {
      List<Path> samples = files.filter(new TaskReplay()::accepts).toList();
      assertTrue(samples.size() >= 15, "files found: " + samples.size());
      for (Path sample : samples) {
        ReplayResult result = new TaskReplay().replay(sample);
        assertTrue(result.passed(), result.line());
        assertTrue(result.skipped().isEmpty(), result.line());
      }
    }
  }

  @Test
  void isFoundAsAService() {
    assertTrue(GoldenReplay.all().stream().anyMatch(TaskReplay.class::isInstance));
  }

  @Test
  void aWrongLabelDeviates() throws Exception {
    byte[] bytes = Files.readAllBytes(golden().resolve("task__parity.safetensors"));
    bytes[lastLabel(bytes)] ^= 1;
    Path wrong = Files.write(folder.resolve("task__wrong.safetensors"), bytes);
    ReplayResult result = new TaskReplay().replay(wrong);
    assertEquals(Status.DEVIATED, result.status());
    assertEquals(1, result.largestDeviation());
  }

  /// First byte of the last element of `labels`.
  private static int lastLabel(byte[] bytes) {
    ByteBuffer buffer = ByteBuffer.wrap(bytes).order(ByteOrder.LITTLE_ENDIAN);
    int header = (int) buffer.getLong(0);
    String json = new String(bytes, 8, header, StandardCharsets.UTF_8);
    int at = json.indexOf("data_offsets", json.indexOf("\"labels\""));
    String end = json.substring(json.indexOf(',', at) + 1, json.indexOf(']', at)).strip();
    return 8 + header + Integer.parseInt(end) - 4;
  }

  @Test
  void whatIsUnknownIsRefusedByName() throws IOException, URISyntaxException {
    assertRefused("parity", "purity", "task must be one of");
    assertRefused("tasks-1", "tasks-9", "format must be tasks-1");
    assertRefused("n=40", "m=40", "parameter must be one of");
  }

  private void assertRefused(String from, String to, String reason)
      throws IOException, URISyntaxException {
    byte[] bytes = Files.readAllBytes(golden().resolve("task__parity.safetensors"));
    String text = new String(bytes, StandardCharsets.ISO_8859_1).replace(from, to);
    Path path =
        Files.write(
            folder.resolve("task__refused.safetensors"),
            text.getBytes(StandardCharsets.ISO_8859_1));
    ReplayResult result = new TaskReplay().replay(path);
    assertEquals(Status.CANNOT_REPLAY, result.status());
    assertFalse(result.detail().isEmpty());
    assertTrue(result.detail().contains(reason), result.detail());
  }
}
