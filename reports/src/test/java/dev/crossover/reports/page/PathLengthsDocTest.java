// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.reading.PathTable;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.Test;

/// The documentation's tables are the program's.
class PathLengthsDocTest {
  @Test
  void tablesAreWhatExplainPrints() throws IOException {
    String document =
        Files.readString(Path.of("..", "docs", "path-lengths.md")).replace("\r\n", "\n");
    assertEquals(
        PathsTable.markdown(PathTable.of(PathsTable.POSITIONS)),
        document,
        "crossover explain --path-lengths prints docs/path-lengths.md");
  }

  /// Vaswani's table 1: its four kinds of layers stand there with what the paper states.
  @Test
  void publishedTableIsAmongTheRows() throws IOException {
    String document = Files.readString(Path.of("..", "docs", "path-lengths.md"));
    for (String row :
        new String[] {
          "\\| self-attention \\| no \\| 4096 \\| 1 \\|.*\\| n² d \\| 1 \\|",
          "\\| recurrent \\(LSTM\\), a step counted as a layer \\| yes \\| 127 \\| 63 \\|"
              + ".*\\| n d² \\| n \\|",
          "\\| convolution, k = 3 \\| no \\| 190 \\| 63 \\|.*\\| k n d² \\| n / k \\|",
          "\\| convolution, k = 3, dilation .*\\| yes \\| 162 \\| 4 \\|.*\\| log\\\\_k n \\|",
          "\\| self-attention, restricted to r = 4 neighbours \\| no \\| 314 \\| 32 \\|"
              + ".*\\| r n d \\| n / r \\|"
        }) {
      assertTrue(
          document.lines().anyMatch(line -> line.matches(row)), "no row of docs matches " + row);
    }
  }
}
