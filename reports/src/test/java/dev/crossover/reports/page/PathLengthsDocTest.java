// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.reading.PathTable;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/// The documentation's tables are the program's.
class PathLengthsDocTest {
  private static final PathTable TABLE = PathTable.of(PathsTable.POSITIONS);

  @Test
  void tablesAreWhatExplainPrints() throws IOException {
    String document =
        Files.readString(Path.of("..", "docs", "path-lengths.md")).replace("\r\n", "\n");
    assertEquals(
        PathsTable.markdown(TABLE),
        document,
        "crossover explain --path-lengths prints docs/path-lengths.md");
  }

  @Test
  void tableOfThePageIsWhatExplainPrints() throws IOException {
    Set<String> all = Catalogue.all().stream().map(MechanismType::name).collect(Collectors.toSet());
    List<List<Table.Cell>> rows =
        new ArrayList<>(PathsTable.of(TABLE, PathTable.Group.PUBLISHED).rows());
    List<List<Table.Cell>> mechanisms = PathsTable.of(TABLE, PathTable.Group.MECHANISM).rows();
    rows.addAll(mechanisms);
    assertEquals(
        rows,
        PathsTable.known(all).rows(),
        "crossover explain --path-lengths --json prints " + PathsTable.RESOURCE);
    assertTrue(mechanisms.size() > all.size() / 2, "rows of most mechanisms");
  }

  @Test
  void pageShowsItsOwnMechanismsOnly() throws IOException {
    List<String> layers =
        PathsTable.known(Set.of("longformer")).rows().stream()
            .map(row -> row.get(0).text())
            .toList();
    assertTrue(layers.contains("self-attention"), layers.toString());
    assertTrue(
        layers.stream().anyMatch(layer -> layer.startsWith("longformer:")), layers.toString());
    assertFalse(layers.contains("tiled"), layers.toString());
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
