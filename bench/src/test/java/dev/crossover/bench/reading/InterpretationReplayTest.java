// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.conformance.GoldenReplay;
import dev.crossover.attention.conformance.ReplayResult;
import dev.crossover.attention.conformance.ReplayResult.Status;
import dev.crossover.attention.tensor.SafeTensors;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.MethodSource;

class InterpretationReplayTest {
  private static final Path GOLDEN = Path.of("src/test/resources/golden");

  @TempDir Path folder;

  static List<Path> files() throws IOException {
    try (Stream<Path> all = Files.list(GOLDEN)) {
      List<Path> files =
          all.filter(file -> file.getFileName().toString().startsWith("interpretation__"))
              .sorted()
              .toList();
      assertEquals(15, files.size(), "golden files");
      return files;
    }
  }

  @ParameterizedTest
  @MethodSource("files")
  void goldenFilePasses(Path file) {
    ReplayResult result = new InterpretationReplay().replay(file);
    assertEquals(Status.PASSED, result.status(), result.line());
  }

  /// What a replay need not compare: the number of tests by size and the sets that removed edges.
  @ParameterizedTest
  @MethodSource("files")
  void testsAndSeparatorsAreThoseOfTheAuthorsProgram(Path path) throws IOException {
    SafeTensors file = SafeTensors.open(path);
    if (!file.contains("tests") || !file.contains("attention")) {
      return;
    }
    int heads = (int) file.shape("attention")[0];
    int n = (int) file.shape("attention")[1];
    double[][][] rows = AttentionStack.matrices(file.doubles("attention"), 0, heads, n, n);
    int[] nodes =
        file.contains("nodes")
            ? file.ints("nodes")
            : java.util.stream.IntStream.range(0, n).toArray();
    int size = nodes.length;
    int[] tests = file.ints("tests");
    int[] separators = file.ints("separators");
    for (int h = 0; h < heads; h++) {
      double[][] own = new double[size][];
      for (int a = 0; a < size; a++) {
        own[a] = rows[h][nodes[a]];
      }
      PartialCorrelationTest test =
          new PartialCorrelationTest(
              Correlations.of(own),
              Integer.parseInt(file.metadata().get("num_samples")),
              Double.parseDouble(file.metadata().get("significance")));
      CausalGraph.Learned learned = CausalGraph.learn(size, test, CausalGraph.Options.STANDARD);
      assertArrayEquals(
          java.util.Arrays.copyOfRange(tests, h * (size - 1), (h + 1) * (size - 1)), test.tests());
      for (int a = 0; a < size; a++) {
        for (int b = 0; b < size; b++) {
          for (int c = 0; c < size; c++) {
            int expected = separators[((h * size + a) * size + b) * size + c];
            boolean held = a != b && learned.separators().holds(a, b, c);
            assertEquals(expected == 1, held, a + "," + b + ": " + c);
          }
        }
      }
    }
  }

  @Test
  void commandFindsTheReplay() {
    Path file = GOLDEN.resolve("interpretation__rollout.safetensors");
    assertTrue(
        GoldenReplay.all().stream()
            .anyMatch(kind -> kind.accepts(file) && kind instanceof InterpretationReplay));
  }

  /// One number of the answer changed by a bit of its exponent: the file must deviate.
  @ParameterizedTest
  @MethodSource("files")
  void changedAnswerDeviates(Path path) throws IOException {
    byte[] bytes = Files.readAllBytes(path);
    int header = (int) bytes[0] & 0xff | ((int) bytes[1] & 0xff) << 8;
    SafeTensors file = SafeTensors.open(path);
    String compared =
        Stream.of("marks", "weights", "rollout", "flow", "entropy")
            .filter(file::contains)
            .findFirst()
            .orElseThrow();
    String text = new String(bytes, 8, header, StandardCharsets.UTF_8);
    String entry = text.substring(text.indexOf("\"" + compared + "\""));
    int begin =
        Integer.parseInt(entry.replaceFirst("(?s).*?\"data_offsets\":\\s*\\[(\\d+),.*", "$1"));
    int elementBytes = compared.equals("marks") ? 4 : 8;
    int at = 8 + header + begin; // the first element, zero only where it is an integer
    bytes[at + elementBytes - 2] ^= 0x08;
    Path changed = folder.resolve(path.getFileName());
    Files.write(changed, bytes);
    ReplayResult result = new InterpretationReplay().replay(changed);
    assertEquals(Status.DEVIATED, result.status(), result.line());
    assertTrue(result.detail().contains(compared), result.detail());
  }

  @Test
  void unknownKeyOrKindIsRefusedByName() throws IOException {
    Path file = GOLDEN.resolve("interpretation__rollout.safetensors");
    assertRefused(file, "\"kind\":\"rollout\"", "\"kind\":\"rollupt\"", "kind must be one of");
    assertRefused(file, "\"causal\":", "\"cousal\":", "must not hold 'cousal'");
    assertRefused(file, "\"interpretation-1\"", "\"interpretation-2\"", "format must be one of");
    assertRefused(file, "\"rollout\":{", "\"rollups\":{", "must not hold a tensor 'rollups'");
  }

  private void assertRefused(Path file, String from, String to, String message) throws IOException {
    String text = Files.readString(file, StandardCharsets.ISO_8859_1);
    String tight = text.replace("\": ", "\":");
    String changed = text.contains(from) ? text : tight;
    assertTrue(changed.contains(from), "the file must hold " + from);
    int lost = text.length() - changed.length();
    changed = changed.replace(from, to);
    if (lost > 0) {
      int end = changed.indexOf("}}") + 2;
      changed = changed.substring(0, end) + " ".repeat(lost) + changed.substring(end);
    }
    Path copy = folder.resolve("interpretation__changed.safetensors");
    Files.writeString(copy, changed, StandardCharsets.ISO_8859_1);
    ReplayResult result = new InterpretationReplay().replay(copy);
    assertEquals(Status.CANNOT_REPLAY, result.status(), result.line());
    assertTrue(result.detail().contains(message), result.detail());
  }
}
