// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Records;
import java.util.ArrayList;
import java.util.List;
import java.util.Random;
import org.junit.jupiter.api.Test;

/// The leaderboard of caches, from made-up records.
class CacheTableTest {
  private static ResultRecord decoded(
      String spec, int n, double seconds, double bytes, double error, double noise) {
    Approximates what = error > 0 ? Approximates.SOFTMAX : Approximates.EXACT;
    return Records.point(
        Study.DECODE, spec, what, "causal", n, seconds, bytes, error, 3, noise, new Random(n));
  }

  private static Table table(List<ResultRecord> records) {
    List<Panel> panels = Panel.of(records);
    assertEquals(1, panels.size());
    return CacheTable.of(PanelAnswer.of(panels.getFirst()));
  }

  private static List<String> column(Table table, String key, boolean text) {
    int at = table.columns().stream().map(Table.Column::key).toList().indexOf(key);
    assertTrue(at >= 0, key);
    return table.rows().stream()
        .map(row -> text ? row.get(at).text() : row.get(at).value())
        .toList();
  }

  /// Rows stand in the order of their errors; clear times have one place each.
  @Test
  void smallestErrorsStandFirstAndClearTimesHaveOnePlace() {
    List<ResultRecord> records = new ArrayList<>();
    records.add(decoded("tiled:cache=h2o,budget=512", 4096, 1e-4, 1000, 0.2, 0));
    records.add(decoded("tiled", 4096, 8e-4, 8000, 0, 0));
    records.add(decoded("tiled:store=int8", 4096, 3e-4, 2500, 0.01, 0));
    Table table = table(records);
    assertEquals(
        List.of("Softmax attention, tiled", "int8", "h2o, heavy_budget=256, recent_budget=256"),
        column(table, "cache", true));
    assertEquals(List.of("1", "2", "3"), column(table, "error_place", true));
    assertEquals(List.of("3", "2", "1"), column(table, "speed_place", true));
    assertEquals(List.of("1", "0.3125000", "0.1250000"), column(table, "bytes_over_tiled", false));
    assertEquals(List.of("1", "2.666667", "8"), column(table, "speed_over_tiled", false));
  }

  /// Times whose intervals overlap share their places, and no others.
  @Test
  void placesThatTimesDoNotDecideAreIntervals() {
    List<ResultRecord> records = new ArrayList<>();
    records.add(decoded("tiled", 4096, 9e-4, 8000, 0, 0));
    records.add(decoded("tiled:store=f16", 4096, 3e-4, 4000, 0.001, 0.05));
    records.add(decoded("tiled:store=bf16", 4096, 3.01e-4, 4000, 0.008, 0.05));
    records.add(decoded("tiled:store=int8", 4096, 1e-5, 2500, 0.01, 0));
    assertEquals(List.of("4", "2–3", "2–3", "1"), column(table(records), "speed_place", true));
  }

  /// Every length has its own places; where nothing was asked of caches there is no table.
  @Test
  void lengthsAreApartAndOtherStudiesHaveNone() {
    List<ResultRecord> records = new ArrayList<>();
    records.add(decoded("tiled", 4096, 9e-4, 8000, 0, 0));
    assertEquals(List.of(), table(records).rows());
    records.add(decoded("tiled", 8192, 18e-4, 16000, 0, 0));
    records.add(decoded("tiled:store=int8", 8192, 7e-4, 5000, 0.01, 0));
    Table both = table(records);
    assertEquals(List.of("8192", "8192"), column(both, "n", false));
    assertEquals(List.of("2", "1"), column(both, "speed_place", true));
  }
}
