// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.TreeSet;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The build does not compile against the module descriptors, so a package could be forgotten
/// there.
class ModuleInfoTest {
  @ParameterizedTest
  @ValueSource(strings = {"attention-core", "testing", "variants", "models"})
  void everyPackageIsExported(String folder) throws IOException {
    Path main = Path.of("..", folder, "src", "main");
    Path java = main.resolve("java");
    TreeSet<String> packages = new TreeSet<>();
    try (Stream<Path> files = Files.walk(java)) {
      files
          .filter(file -> file.getFileName().toString().equals("package-info.java"))
          .map(file -> java.relativize(file.getParent()).toString())
          .forEach(name -> packages.add(name.replace('/', '.').replace('\\', '.')));
    }
    TreeSet<String> exported =
        Files.readString(main.resolve("module/module-info.java"))
            .lines()
            .map(String::strip)
            .filter(line -> line.startsWith("exports "))
            .map(line -> line.split("[ ;]")[1])
            .collect(Collectors.toCollection(TreeSet::new));
    assertEquals(packages, exported);
  }
}
