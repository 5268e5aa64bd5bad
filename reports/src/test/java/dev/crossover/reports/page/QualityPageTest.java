// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static dev.crossover.reports.answer.QualityRecords.run;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.QualityRecords;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.QualityTimes;
import dev.crossover.reports.answer.SyntheticStudy;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QualityPageTest {
  private static final List<QualityRecord> RUNS =
      List.of(
          run("parity:every=true", "tiled", "1e-3", 1, 9000, 40, 0.75, 256, 0.5),
          run("parity:every=true", "tiled", "1e-3", 2, 9000, 40, 0.85, 256, 0.5),
          run("parity:every=true", "lstm", "3e-3", 1, 256, 40, 1.0, 256, 1.0),
          run("parity:every=true", "longformer:window=16", "3e-3", 1, 256, 40, 0.0, 256, 0.5),
          run("mqar", "tiled", "3e-3", 1, 65536, 64, 0.992));

  @TempDir private Path folder;

  @Test
  void trainingRunsAloneMakeAPageWithTablesChartsAndFiles() throws IOException {
    Path page = Report.write(List.of(), List.of(), RUNS, folder, "crossover train");
    String html = Files.readString(page);
    assertTrue(html.contains("5 training runs"), "how much there is");
    assertFalse(html.contains("measured points"), "no sweep was there");
    assertTrue(html.contains("id=\"quality\"") && html.contains("id=\"quality-data\""));
    String markdown = Files.readString(folder.resolve("report.md"));
    assertTrue(markdown.contains("| chance | 0.500 | 0.250 |"), markdown);
    // the interval of two values a tenth apart: 0.8 ± 12.7062 · 0.05
    assertTrue(markdown.contains("0.800 (0.165–1.000), 0 of 2"), markdown);
    assertTrue(markdown.contains("Solved by LSTM. Not solved: "), markdown);
    String csv = Files.readString(folder.resolve("csv/quality.csv"));
    assertTrue(csv.startsWith("mixer,parity:every=true,mqar\r\n"), csv);
    assertTrue(csv.contains("\r\nlstm,1,\r\n"), csv);
    for (String name : List.of("state", "learning", "loss", "lengths", "length-loss")) {
      String file = "figures/quality-1-parity-every-true-" + name;
      assertTrue(Files.size(folder.resolve(file + ".png")) > 10_000, file);
      assertTrue(Files.size(folder.resolve(file + ".pdf")) > 1_000, file);
      assertTrue(html.contains(file + ".png"), file);
    }
    assertFalse(html.contains("quality-2-mqar-lengths"), "mqar was tested at one length");
    assertFalse(html.contains("-forward.png"), "no time was measured");
  }

  @Test
  void trainedModelsAtOtherSettingsHaveATable() throws IOException {
    Map<String, Double> seen = Map.of("reformer:num_hashes=8", 0.75);
    List<QualityRecord> runs =
        List.of(
            QualityRecords.evaluated("repeat:length=8", "reformer", 1, seen),
            QualityRecords.evaluated("repeat:length=8", "reformer", 2, seen));
    Report.write(List.of(), List.of(), runs, folder, "crossover train");
    String markdown = Files.readString(folder.resolve("report.md"));
    assertTrue(markdown.contains("evaluated at other settings"), markdown);
    assertTrue(markdown.contains("0.750 (0.750–0.750)"), markdown);
    String csv = Files.readString(folder.resolve("csv/quality-1-repeat-length-8-settings.csv"));
    assertTrue(csv.contains("reformer:num_hashes=8,0.75"), csv);
  }

  @Test
  void lossByPositionOfATextIsATableAndAChart() throws IOException {
    List<QualityRecord> runs =
        List.of(
            run("bytes:n=4", "tiled", "1e-3", 1, 9000, 4, 0.5),
            run("bytes:n=4", "tiled", "1e-3", 2, 9000, 4, 0.5),
            run("mqar", "tiled", "3e-3", 1, 65536, 64, 0.992));
    String html = Files.readString(Report.write(List.of(), List.of(), runs, folder, "train"));
    String markdown = Files.readString(folder.resolve("report.md"));
    assertTrue(markdown.contains("| mixer | 1 | 2 | 3–4 |"), markdown);
    // 4.15, 2.15 and 1.15 nats, means of two seeds
    assertTrue(markdown.contains(" | 5.987 | 3.102 | 1.659 |"), markdown);
    String file = "quality-1-bytes-n-4-position-loss";
    assertTrue(html.contains("figures/" + file + ".png"), "chart");
    assertTrue(Files.size(folder.resolve("figures/" + file + ".png")) > 10_000, "drawn");
    String csv = Files.readString(folder.resolve("csv/" + file + ".csv"));
    assertTrue(csv.startsWith("mixer,bits_1_1,bits_2_2,bits_3_4\r\n"), csv);
    assertFalse(html.contains("quality-2-mqar-position-loss"), "mqar is no text");
  }

  @Test
  void timesComeFromTheSweepThatLiesBeside() throws IOException {
    List<ResultRecord> sweep = SyntheticStudy.records(1);
    QualityTimes forward =
        QualityTimes.of(sweep).stream().filter(t -> t.name().equals("forward")).findFirst().get();
    QualityResults mqar = QualityResults.of(RUNS).getLast();
    int n = forward.chosen(mqar);
    double expected =
        forward.panel().baseline("tiled").orElseThrow().at(n).orElseThrow().seconds() / n;
    assertEquals(expected, forward.seconds(mqar.rows().getFirst(), n));
    String html =
        Files.readString(Report.write(sweep, List.of(), RUNS, folder, "crossover report"));
    assertTrue(html.contains("quality-2-mqar-forward.png"), "accuracy against time is drawn");
    String csv = Files.readString(folder.resolve("csv/quality-2-mqar-forward.csv"));
    assertTrue(
        csv.contains(String.format(Locale.ROOT, "tiled,%d,%.7g,0.9920000", n, expected)), csv);
  }
}
