// SPDX-License-Identifier: Apache-2.0
package example;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.reports.cli.Main;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The command line with nothing but this project's jar and the published ones on the class path.
class CommandLineTest {
  @TempDir private Path folder;

  private static String crossover(String... arguments) throws IOException, InterruptedException {
    List<String> command =
        new ArrayList<>(
            List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules=jdk.incubator.vector",
                "-Djava.awt.headless=true",
                "-cp",
                System.getProperty("java.class.path"),
                Main.class.getName()));
    command.addAll(List.of(arguments));
    Process process = new ProcessBuilder(command).redirectErrorStream(true).start();
    String text = new String(process.getInputStream().readAllBytes(), StandardCharsets.UTF_8);
    assertEquals(0, process.waitFor(), text);
    return text;
  }

  @Test
  void listsIt() throws Exception {
    assertTrue(crossover("list", "running_mean").contains("Running mean"));
  }

  @Test
  void sweepsAndChartsIt() throws Exception {
    String text =
        crossover(
            ("sweep -m running_mean,tiled --n 32,64 --input gaussian --heads 1 --forks 1 --threads"
                    + " 1 --out "
                    + folder.resolve("sweep"))
                .split(" "));
    assertTrue(text.contains("0 failed"), text);
    String page = Files.readString(folder.resolve("sweep/report/report.html"));
    assertTrue(page.contains("running_mean"), "the page names it");
  }

  @Test
  void trainsIt() throws Exception {
    crossover(
        "train",
        "parity",
        "-m",
        "running_mean",
        "--model=layers=1,width=16,steps=4,batch=4",
        "--out",
        folder.resolve("quality").toString());
    String records = Files.readString(folder.resolve("quality/quality.jsonl"));
    assertTrue(records.contains("running_mean"), records);
  }
}
