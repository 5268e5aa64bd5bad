// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class InfluenceCommandTest {
  @TempDir private Path folder;

  private int run(StringWriter said, String... arguments) {
    PrintWriter writer = new PrintWriter(said, true);
    return Main.run(writer, writer, arguments);
  }

  @Test
  void slopesZerosAndRefusalsAreOnThePageAndInItsFiles() throws IOException {
    StringWriter said = new StringWriter();
    String mixers = "tiled,longformer:window=4,linformer";
    int code =
        run(
            said,
            ("influence -m " + mixers + " --n 8..64 --seeds 2 --words 1 -o " + folder).split(" "));
    assertEquals(0, code, said.toString());
    String page = Files.readString(folder.resolve("influence.md"));
    // two blocks look back 4 positions each
    assertTrue(page.contains("exactly zero from n = 16"), page);
    assertTrue(page.contains("- `linformer`: "), page);
    String points = Files.readString(folder.resolve("csv/influence-points.csv"));
    assertEquals(1 + 2 * 4, points.lines().count(), points);
    assertTrue(points.contains("longformer:window=4,16,0,0,0"), points);
    assertTrue(Files.size(folder.resolve("figures/influence.png")) > 10_000);
    assertTrue(Files.size(folder.resolve("figures/influence.pdf")) > 1_000);
  }

  @Test
  void lengthsBelowTwoAreRefused() {
    StringWriter said = new StringWriter();
    assertEquals(Main.USAGE, run(said, "influence", "-m", "tiled", "--n", "1"));
    assertTrue(said.toString().contains("n must be >= 2, but was 1"), said.toString());
  }
}
