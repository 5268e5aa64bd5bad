// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/// Holds "To add a … open …" of CONTRIBUTING.md, and the packages of ARCHITECTURE.md, to the tree.
class HouseTest {
  private static final Path ROOT = Path.of("..").toAbsolutePath().normalize();
  private static final Pattern FILE = Pattern.compile("`([a-z-]+/src/[^`]+)`");
  private static final List<String> KINDS =
      List.of(
          "mechanism", "layer", "task", "metric", "input", "study", "chart", "command", "kernel");

  /// A line of the table.
  private record Line(String kind, List<Path> examples, List<Path> names) {}

  private static List<Line> lines() throws IOException {
    List<Line> lines = new ArrayList<>();
    boolean inside = false;
    for (String line : Files.readAllLines(ROOT.resolve("CONTRIBUTING.md"))) {
      inside = line.startsWith("## ") ? line.startsWith("## To add a") : inside;
      String[] cells = line.split("\\|", -1);
      if (inside && cells.length == 5 && KINDS.contains(cells[1].strip())) {
        lines.add(new Line(cells[1].strip(), files(cells[2]), files(cells[3])));
      }
    }
    return lines;
  }

  private static List<Path> files(String cell) {
    List<Path> files = new ArrayList<>();
    Matcher matcher = FILE.matcher(cell);
    while (matcher.find()) {
      files.add(ROOT.resolve(matcher.group(1)));
    }
    return files;
  }

  private static List<Path> sources() throws IOException {
    List<Path> all = new ArrayList<>();
    for (String module :
        List.of("attention-core", "testing", "variants", "models", "bench", "reports")) {
      try (Stream<Path> inside = Files.walk(ROOT.resolve(module).resolve("src/main/java"))) {
        inside.filter(file -> file.toString().endsWith(".java")).forEach(all::add);
      }
    }
    return all;
  }

  @Test
  void everyKindHasALineAndItsFilesExist() throws IOException {
    assertEquals(KINDS, lines().stream().map(Line::kind).toList());
    for (Line line : lines()) {
      assertFalse(line.examples().isEmpty(), line.kind());
      for (Path file : line.examples()) {
        assertTrue(Files.exists(file), file.toString());
      }
      for (Path file : line.names()) {
        assertTrue(Files.isRegularFile(file), file.toString());
      }
    }
  }

  /// An example that another file named too would send a newcomer to too few places.
  @Test
  void examplesAreNamedWhereTheTableSaysAndNowhereElse() throws IOException {
    List<Path> sources = sources();
    for (Line line : lines()) {
      Path example = line.examples().getFirst();
      if (line.kind().equals("metric") || line.kind().equals("chart")) {
        continue;
      }
      String name = example.getFileName().toString().replace(".java", "");
      Pattern word = Pattern.compile("\\b" + name + "\\b");
      Set<Path> naming = new TreeSet<>();
      for (Path source : sources) {
        if (!source.equals(example) && word.matcher(Files.readString(source)).find()) {
          naming.add(source);
        }
      }
      Set<Path> told = new TreeSet<>(line.names());
      if (line.kind().equals("kernel")) {
        // a kernel is used, and named by no list; its vector half uses it
        assertTrue(told.isEmpty(), told.toString());
        assertTrue(naming.contains(line.examples().get(1)), naming.toString());
      } else {
        assertEquals(told, naming, line.kind());
      }
    }
  }

  /// A constant that is not in the list, or a list entry without one, is what one forgets.
  @Test
  void everyMetricIsDeclaredInOneFile() throws IOException {
    Path file =
        lines().stream()
            .filter(line -> line.kind().equals("metric"))
            .findFirst()
            .orElseThrow()
            .examples()
            .getFirst();
    String text = Files.readString(file);
    Matcher constants = Pattern.compile("static final Metric ([A-Z0-9_]+) =").matcher(text);
    String list =
        text.substring(text.indexOf("List<Metric> ALL"), text.indexOf("private Metrics()"));
    int found = 0;
    while (constants.find()) {
      found++;
      assertTrue(
          Pattern.compile("\\b" + constants.group(1) + "\\b").matcher(list).find(),
          constants.group(1));
    }
    assertTrue(found > 10, "constants " + found);
    for (Path source : sources()) {
      assertFalse(
          !source.equals(file) && Files.readString(source).contains("seconds_p99"),
          source.toString());
    }
  }

  @Test
  void everyPackageOfTheCoreStandsInTheDocument() throws IOException {
    String document = Files.readString(ROOT.resolve("ARCHITECTURE.md"));
    Path core = ROOT.resolve("attention-core/src/main/java/dev/crossover/attention");
    try (Stream<Path> folders = Files.list(core)) {
      for (Path folder : folders.filter(Files::isDirectory).toList()) {
        assertTrue(
            document.contains("`…attention." + folder.getFileName() + "`"), folder.toString());
      }
    }
  }
}
