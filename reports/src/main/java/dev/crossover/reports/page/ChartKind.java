// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.reports.answer.StudyView;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// A chart of the page.
///
/// @param id what the script draws
/// @param file end of the figure's file name that shows the same
/// @param title heading
/// @param how how to read it, one line
record ChartKind(String id, String file, String title, String how) {
  private static final ChartKind TIME =
      new ChartKind(
          "time",
          "time",
          "Time",
          "median of a call with its 95 % interval over forks; lower is better");
  private static final ChartKind MEMORY =
      new ChartKind(
          "memory",
          "memory",
          "Memory",
          "beyond inputs and output; counted by the allocator, exact");
  private static final ChartKind PARETO_TIME =
      new ChartKind(
          "pareto-time",
          "pareto-time",
          "What time buys",
          "error against time at one length; down and left is better, the step line is the front");
  private static final ChartKind PARETO_MEMORY =
      new ChartKind(
          "pareto-memory",
          "pareto-memory",
          "What memory buys",
          "error against counted memory at one length");
  private static final ChartKind ROOFLINE =
      new ChartKind(
          "roofline",
          "roofline",
          "Roofline",
          "counted FLOPs and bytes over measured time; the roof was measured in the same run");
  private static final ChartKind TOKENS =
      new ChartKind(
          "tokens",
          "tokens",
          "Tokens per second",
          "with a 95 % interval over forks; higher is better");
  private static final ChartKind STATE =
      new ChartKind("state", "state", "State", "bytes a session holds between tokens");

  /// The charts of a panel in reading order; speed always beside error.
  static List<ChartKind> of(StudyView view) {
    ChartKind error =
        new ChartKind(
            "error",
            "error",
            view.error().substring(0, 1).toUpperCase(Locale.ROOT) + view.error().substring(1),
            view.errorHow() + " against exact attention on the same tensors under the same mask");
    return view.wholeSequence()
        ? List.of(TIME, error, MEMORY, PARETO_TIME, PARETO_MEMORY, ROOFLINE)
        : List.of(TOKENS, error, STATE, PARETO_TIME);
  }

  /// What the template needs.
  Map<String, Object> view(String prefix, int panel, String origin) {
    return Map.of(
        "id",
        id,
        "name",
        prefix + "-" + file,
        "title",
        title,
        "how",
        how,
        "panel",
        panel,
        "origin",
        origin);
  }
}
