// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// What THIRD-PARTY.md must name: every library, and every file that is not the contributors' own.
class ThirdPartyTest {
  private static final Path TREE = Path.of("..");
  private static final Pattern VERSION = Pattern.compile("-\\d[^/]*\\.jar$");
  private static final Pattern MADE_ELSEWHERE =
      Pattern.compile(".*\\.(ttf|otf|woff2?|safetensors|np[yz]|png|jpe?g|svg|zip|jar|min\\.\\w+)$");
  private static final Pattern OTHER_LICENCE =
      Pattern.compile(
          "^\\s*(//+|/?\\*+).*(copyright \\(c\\)|all rights reserved|SPDX-License-Identifier:"
              + "(?! Apache-2\\.0)|GNU (Lesser )?General Public)",
          Pattern.CASE_INSENSITIVE | Pattern.MULTILINE);

  private static String page() throws IOException {
    return Files.readString(TREE.resolve("THIRD-PARTY.md"));
  }

  @Test
  void everyLibraryOnTheClassPathIsNamed() throws IOException {
    List<String> libraries =
        Stream.of(System.getProperty("java.class.path").split(File.pathSeparator))
            .map(entry -> Path.of(entry).getFileName().toString())
            .filter(name -> name.endsWith(".jar"))
            .filter(name -> !name.startsWith("crossover-") && !name.startsWith("surefire"))
            .filter(name -> !name.startsWith("junit-platform-console"))
            .map(name -> VERSION.matcher(name).replaceFirst(""))
            .distinct()
            .toList();
    assertTrue(libraries.contains("jmh-core"), "the class path is read: " + libraries);
    assertEquals(List.of(), libraries.stream().filter(new Rows(page())::lack).toList());
  }

  @Test
  void everyFileMadeElsewhereIsNamed() throws IOException {
    List<String> found = new ArrayList<>();
    for (Path folder : folders("src/main/resources")) {
      for (Path file : files(folder, MADE_ELSEWHERE)) {
        found.add(file.getFileName().toString());
      }
    }
    assertTrue(found.contains("OpenSans-Bold.ttf"), "resources are read: " + found);
    assertEquals(List.of(), found.stream().filter(new Rows(page())::lack).toList());
  }

  @Test
  void noSourceCarriesAnotherLicence() throws IOException {
    List<Path> carrying = new ArrayList<>();
    int read = 0;
    for (Path folder : folders("src")) {
      for (Path file : files(folder, Pattern.compile(".*\\.java"))) {
        read++;
        if (OTHER_LICENCE.matcher(Files.readString(file)).find()) {
          carrying.add(file);
        }
      }
    }
    assertTrue(read > 100, "sources are read: " + read);
    assertEquals(List.of(), carrying);
    assertTrue(OTHER_LICENCE.matcher("// Copyright (c) 2020 Somebody").find());
    assertTrue(OTHER_LICENCE.matcher(" * SPDX-License-Identifier: MIT").find());
  }

  private static List<Path> folders(String below) throws IOException {
    try (Stream<Path> modules = Files.list(TREE)) {
      return modules
          .filter(module -> Files.exists(module.resolve("pom.xml")))
          .map(module -> module.resolve(below))
          .filter(Files::isDirectory)
          .sorted()
          .toList();
    }
  }

  private static List<Path> files(Path folder, Pattern named) throws IOException {
    try (Stream<Path> all = Files.walk(folder)) {
      return all.filter(Files::isRegularFile)
          .filter(file -> named.matcher(file.getFileName().toString()).matches())
          .sorted()
          .toList();
    }
  }

  /// The names in the first column of the page's tables.
  private record Rows(String page) {
    boolean lack(String name) {
      return page.lines()
          .filter(line -> line.startsWith("| "))
          .map(line -> line.split("\\|", -1)[1])
          .noneMatch(cell -> List.of(cell.split("[\\s,`();]+")).contains(name));
    }
  }
}
