// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.models.task.Tasks;
import java.util.List;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class QualityGridFileTest {
  @Test
  void everyCombinationOfAGridIsARun() {
    String text =
        """
        tasks: ['induction:n=16', parity]
        mixers:
          - tiled
          - deltanet: {beta_max: [1, 2], layers: 1}
        lr: [1e-3, 3e-3]
        seeds: 2
        options: {width: 16}
        test_n: 64
        data_seed: 7
        ---
        tasks: first
        """;
    List<QualityGrid> grids = QualityGridFile.read("mine.yaml", text);
    List<QualityRun> runs = grids.getFirst().runs();
    assertEquals(2 * 3 * 2 * 2, runs.size());
    assertEquals(
        List.of("tiled", "deltanet+beta_max=1+layers=1", "deltanet+beta_max=2+layers=1"),
        runs.stream().map(QualityRun::mixer).distinct().toList());
    QualityRun last = runs.getLast();
    assertEquals("parity", Tasks.describe(last.task()));
    assertEquals("2", last.recipe().toMap().get("beta_max"));
    assertEquals("1", last.recipe().toMap().get("layers"));
    assertEquals("16", last.recipe().toMap().get("width"));
    assertEquals(0.003, Double.parseDouble(last.recipe().toMap().get("lr")));
    assertEquals(List.of(64), last.lengths());
    assertEquals(2, last.seed());
    assertEquals(7, last.dataSeed());
    assertEquals(QualityGrid.of(List.of("first")), grids.getLast());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = '|',
      textBlock =
          """
          mixers: tiled            | x:1: tasks must be given, but were absent
          tasks: first;seed: 3     | x:2: key must be one of [tasks, mixers, lr, seeds, options,
          tasks: fist              | x:1: task must be one of
          tasks: first;seeds: 0    | x:2: seeds must be whole numbers from 1, but was 0
          tasks: first;options: 3  | x:2: options must be written as {key: value}, but was 3
          tasks: first;mixers: til | x:1: mechanism must be one of
          - first                  | x:1: a grid must be written as key: value, but was a list
          tasks: [                 | x:
          """)
  void mistakesAreToldWithTheirLine(String text, String message) {
    String lines = text.strip().replace(';', '\n');
    IllegalArgumentException refusal =
        assertThrows(IllegalArgumentException.class, () -> QualityGridFile.read("x", lines));
    assertTrue(
        String.valueOf(refusal.getMessage()).startsWith(message.strip()), refusal.getMessage());
  }

  @Test
  void theBuiltInGridTrainsEightMechanismsAndAnLstmOnFourTasks() {
    Map<String, List<String>> mixers =
        QualityGridFile.read("quick", QualityGridFile.preset("quick")).stream()
            .flatMap(grid -> grid.runs().stream())
            .collect(
                Collectors.groupingBy(
                    run -> Tasks.nameOf(run.task()),
                    Collectors.mapping(
                        run -> run.mixer().split("\\+")[0],
                        Collectors.collectingAndThen(
                            Collectors.toList(), all -> all.stream().distinct().toList()))));
    assertEquals(4, mixers.size());
    mixers.forEach(
        (task, names) -> {
          assertEquals(9, names.size(), task);
          assertTrue(names.contains("lstm"), task);
        });
  }
}
