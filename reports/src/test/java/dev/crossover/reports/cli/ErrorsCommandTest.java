// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class ErrorsCommandTest {
  @TempDir Path folder;

  @Test
  void pageFiguresAndNumbersAgreeAtATinySize() throws IOException {
    StringWriter out = new StringWriter();
    int code =
        run(
            out,
            "errors --input low_rank:rank=2 --n 32 --seeds 2 --threads 1"
                + " -m longformer:window=4,performer:num_features=8 -o "
                + folder);
    assertEquals(0, code, out.toString());
    assertTrue(out.toString().contains("errors.md"), out.toString());
    String page = Files.readString(folder.resolve("errors.md"));
    Matcher pictures = Pattern.compile("\\]\\(figures/([a-z-]+)\\.png\\)").matcher(page);
    int count = 0;
    while (pictures.find()) {
      String name = pictures.group(1);
      assertTrue(Files.size(folder.resolve("figures/" + name + ".png")) > 5_000, name);
      assertTrue(Files.size(folder.resolve("figures/" + name + ".pdf")) > 2_000, name);
      count++;
    }
    assertEquals(13, count, "six figures for each mask and the rate");
    for (String mask : List.of("causal", "unmasked")) {
      for (String name : List.of("knobs", "features", "heads", "places", "spectrum", "slopes")) {
        List<String> lines =
            Files.readAllLines(folder.resolve("csv/" + name + "-" + mask + ".csv"));
        int columns = lines.getFirst().split(",").length;
        assertTrue(lines.size() > 1 || name.equals("slopes"), name);
        assertTrue(columns > 2, name);
      }
    }
    assertTrue(page.contains("longformer") || page.contains("Longformer"), page);
    assertTrue(page.contains("low\\_rank:rank=2"), page);
    assertTrue(page.contains("JDK") && page.contains("commit"), page);
    try (Stream<Path> files = Files.list(folder.resolve("csv"))) {
      assertEquals(14, files.count());
    }
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "errors --mask casual;did you mean causal?",
        "errors --input neddle;did you mean needle?",
        "errors -m performr;did you mean performer?",
        "errors -m layer/tiled;mechanisms must not be layers",
        "errors --n 4;n must be at least 16",
        "errors --seeds 0;seeds must be from 1",
        "erors;did you mean errors?"
      })
  void askingForWhatDoesNotExistIsOneLineAndExitCodeTwo(String command, String expected) {
    StringWriter out = new StringWriter();
    assertEquals(2, run(out, command));
    assertTrue(out.toString().contains(expected), out.toString());
    assertEquals(1, out.toString().lines().count(), out.toString());
  }

  private static int run(StringWriter both, String command) {
    PrintWriter writer = new PrintWriter(both, true);
    return Main.run(writer, writer, command.split(" "));
  }
}
