// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.File;
import java.io.IOException;
import java.io.InputStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import javax.tools.ToolProvider;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A mechanism of a folder that is not on the build's class path: compiled here, found by
/// ServiceLoader in a process of its own.
class ProvidedMechanismTest {
  @TempDir private static Path folder;

  @BeforeAll
  static void compile() throws IOException {
    Path source = folder.resolve("MeanOfValues.java");
    try (InputStream text =
        ProvidedMechanismTest.class.getResourceAsStream("/plugin/MeanOfValues.java.txt")) {
      Files.copy(Objects.requireNonNull(text), source);
    }
    int code =
        ToolProvider.getSystemJavaCompiler()
            .run(
                null,
                null,
                null,
                "-cp",
                System.getProperty("java.class.path"),
                "-d",
                classes().toString(),
                source.toString());
    assertEquals(0, code);
    Path services = Files.createDirectories(classes().resolve("META-INF/services"));
    Files.writeString(
        services.resolve("dev.crossover.attention.mechanism.MechanismProvider"),
        "example.MeanOfValues$Provider\n");
  }

  private static Path classes() {
    return folder.resolve("classes");
  }

  private String run(String... arguments) throws IOException, InterruptedException {
    List<String> command = new ArrayList<>();
    command.add(Path.of(System.getProperty("java.home"), "bin", "java").toString());
    command.add("--add-modules=jdk.incubator.vector");
    command.add("-Djava.awt.headless=true");
    command.add("-cp");
    command.add(System.getProperty("java.class.path") + File.pathSeparator + classes());
    command.add(Main.class.getName());
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), text);
    return text;
  }

  @Test
  void isListedSweptAndDrawn() throws Exception {
    String list = run("list", "mean_of_values");
    assertTrue(list.contains("Mean of values"), list);
    Path results = folder.resolve("results");
    String sweep =
        run(
            "sweep",
            "-m",
            "mean_of_values,tiled",
            "--n",
            "32,64",
            "--input",
            "gaussian",
            "--heads",
            "1",
            "--forks",
            "1",
            "--threads",
            "1",
            "--out",
            results.toString());
    assertTrue(sweep.contains("0 failed"), sweep);
    String page = Files.readString(results.resolve("report/report.html"));
    assertTrue(page.contains("mean_of_values"), "the page names it");
  }
}
