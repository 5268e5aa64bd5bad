// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.HeadMixes;
import dev.crossover.reports.answer.Headlines;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.PhaseDiagram;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.QualityTimes;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.jspecify.annotations.Nullable;

/// The tables of a report as values for JSON: rows by the keys of their columns, which are those of
/// the CSV files; absent numbers are null.
public final class TableRows {
  private TableRows() {}

  /// Every panel with its answers in words, its summary, its points and what has no result.
  public static List<Map<String, @Nullable Object>> panels(List<ResultRecord> records) {
    List<Map<String, @Nullable Object>> all = new ArrayList<>();
    for (Panel panel : Panel.of(records)) {
      PanelAnswer answer = PanelAnswer.of(panel);
      Map<String, @Nullable Object> values = new LinkedHashMap<>();
      values.put("study", panel.key().study());
      values.put("title", panel.title());
      values.put("sizes", panel.sizes());
      if (!panel.series().isEmpty()) {
        values.put("answers", Headlines.of(answer).lines());
        values.put("summary", Tables.summary(answer).values());
        values.put("points", Tables.points(answer).values());
      }
      values.put("missing", Tables.missing(panel).values());
      all.add(values);
    }
    return all;
  }

  /// Every phase diagram of permitted errors, a row for each length and error.
  public static List<Map<String, @Nullable Object>> phases(
      List<ResultRecord> records, List<FrontRecord> front) {
    List<Map<String, @Nullable Object>> all = new ArrayList<>();
    for (PhaseDiagram diagram : PhaseDiagram.of(records, front)) {
      Map<String, @Nullable Object> values = new LinkedHashMap<>();
      values.put("title", diagram.title());
      values.put("sizes", diagram.panel().sizes());
      values.put("cells", PhaseFiles.table(diagram).values());
      HeadMixes heads = HeadMixes.of(diagram, front);
      if (!heads.lines().isEmpty()) {
        values.put("mixes", heads.lines());
        values.put("heads", HeadTable.of(heads).values());
      }
      all.add(values);
    }
    return all;
  }

  /// Every task with a row for each mixer.
  ///
  /// @param sweeps records of sweeps that lie beside, for times
  public static List<Map<String, @Nullable Object>> tasks(
      List<QualityRecord> records, List<ResultRecord> sweeps) {
    List<QualityTimes> times = QualityTimes.of(sweeps);
    List<Map<String, @Nullable Object>> all = new ArrayList<>();
    for (QualityResults results : QualityResults.of(records)) {
      Map<String, @Nullable Object> values = new LinkedHashMap<>();
      values.put("task", results.task());
      values.put("chance", results.chance());
      values.put("mixers", QualityTables.task(results, times).values());
      all.add(values);
    }
    return all;
  }
}
