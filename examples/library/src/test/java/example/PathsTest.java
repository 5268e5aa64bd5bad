// SPDX-License-Identifier: Apache-2.0
package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

/// The same program from the class path and from the module path, with and without the vector
/// module.
class PathsTest {
  private static final String CLASSES = System.getProperty("classes");
  private static final String LIBRARIES = System.getProperty("libraries");
  private static final List<String> CLASS_PATH =
      List.of(
          "-cp",
          CLASSES + System.getProperty("path.separator") + LIBRARIES + "/*",
          "example.Longformer");
  private static final List<String> MODULE_PATH =
      List.of(
          "-p",
          CLASSES + System.getProperty("path.separator") + LIBRARIES,
          "-m",
          "example.library/example.Longformer");
  private static final List<String> VECTOR = List.of("--add-modules", "jdk.incubator.vector");

  @Test
  void everyWayToStartGivesTheSameNumbers() throws Exception {
    List<Double> expected = numbers(run(VECTOR, CLASS_PATH));
    assertEquals(16, expected.size());
    for (Started other :
        List.of(
            run(VECTOR, MODULE_PATH), run(List.of(), CLASS_PATH), run(List.of(), MODULE_PATH))) {
      List<Double> actual = numbers(other);
      assertEquals(expected.size(), actual.size(), other.text);
      for (int e = 0; e < expected.size(); e++) {
        assertEquals(expected.get(e), actual.get(e), 1e-4, other.text);
      }
    }
  }

  @Test
  void withoutTheVectorModuleScalarKernelsSaySo() throws Exception {
    assertTrue(run(List.of(), MODULE_PATH).text.contains("scalar kernels"));
    assertTrue(run(List.of(), CLASS_PATH).text.contains("scalar kernels"));
    assertTrue(!run(VECTOR, MODULE_PATH).text.contains("scalar kernels"));
  }

  private record Started(String text, int exitCode) {}

  private static List<Double> numbers(Started started) {
    assertEquals(0, started.exitCode, started.text);
    return started
        .text
        .lines()
        .filter(line -> line.matches("-?\\d\\.\\d{5}"))
        .map(Double::valueOf)
        .toList();
  }

  private static Started run(List<String> modules, List<String> program)
      throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(System.getProperty("java.home") + "/bin/java");
    command.addAll(modules);
    command.addAll(program);
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    return new Started(text, process.waitFor());
  }
}
