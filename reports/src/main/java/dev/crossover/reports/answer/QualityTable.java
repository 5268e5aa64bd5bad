// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.TaskInfo;
import dev.crossover.models.task.Tasks;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.List;
import java.util.Locale;

/// Quality records on the console: a table per task, and the list of tasks.
public final class QualityTable {
  private QualityTable() {}

  /// The records as Markdown: a table per task.
  public static String of(List<QualityRecord> records) {
    StringBuilder text = new StringBuilder();
    QualityResults.of(records).forEach(results -> table(text, results));
    return text.toString();
  }

  private static void table(StringBuilder text, QualityResults results) {
    text.append("## ").append(results.task()).append("\n\n");
    text.append(String.format(Locale.ROOT, "Chance %.3f.", results.chance()));
    text.append(results.floors());
    boolean bits = !results.floors().isEmpty();
    text.append(" Accuracy at asked positions, mean over seeds with its 95 % interval.\n\n");
    text.append("| mixer | lr | seeds | solved |");
    results.lengths().forEach(length -> text.append(" n = ").append(length).append(" |"));
    text.append(bits ? " loss, bits |" : "");
    text.append(" steps | state, bytes | parameters | tokens/s |\n|---|---|---|---|");
    text.append("---|".repeat(results.lengths().size() + (bits ? 5 : 4))).append('\n');
    for (Row row : results.rows()) {
      QualityRecord first = row.first();
      text.append("| `").append(row.mixer()).append("` | ");
      text.append(first.recipe().getOrDefault("lr", "?")).append(" | ");
      text.append(row.records().size()).append(" | ");
      text.append(row.solved(results.positions())).append(" |");
      for (int length : results.lengths()) {
        text.append(' ').append(QualityResults.words(row, length)).append(" |");
      }
      if (bits) {
        text.append(String.format(Locale.ROOT, " %.2f |", row.bits(results.positions())));
      }
      text.append(' ').append(steps(row)).append(" | ");
      text.append(first.stateBytes() < 0 ? "–" : Long.toString(first.stateBytes())).append(" | ");
      text.append(first.parameters()).append(" | ");
      text.append(String.format(Locale.ROOT, "%.0f", first.tokensPerSecond())).append(" |\n");
    }
    settings(text, results);
    for (Row row : results.rows()) {
      for (QualityRecord record : row.records()) {
        if (!record.reason().isEmpty()) {
          text.append("\n`").append(row.mixer()).append("`, seed ").append(record.seed());
          text.append(": ").append(record.status().name().toLowerCase(Locale.ROOT));
          text.append(", ").append(record.reason()).append(".\n");
        }
      }
    }
    text.append('\n');
  }

  /// A table of trained models at other settings of their mechanism, where there are any.
  private static void settings(StringBuilder text, QualityResults results) {
    if (results.rows().stream().allMatch(row -> row.settings().isEmpty())) {
      return;
    }
    text.append("\n| trained | evaluated |");
    results.lengths().forEach(length -> text.append(" n = ").append(length).append(" |"));
    text.append("\n|---|---|").append("---|".repeat(results.lengths().size())).append('\n');
    for (Row row : results.rows()) {
      for (String setting : row.settings()) {
        text.append("| `").append(row.mixer()).append("` | `").append(setting).append("` |");
        for (int length : results.lengths()) {
          String words = QualityResults.words(row.accuracies(setting, length));
          text.append(' ').append(words).append(" |");
        }
        text.append('\n');
      }
    }
  }

  private static String steps(Row row) {
    long least = row.records().stream().mapToLong(QualityRecord::steps).min().orElse(0);
    long most = row.records().stream().mapToLong(QualityRecord::steps).max().orElse(0);
    return least == most ? Long.toString(most) : least + "–" + most;
  }

  /// A list of all tasks.
  public static String tasks() {
    StringBuilder text = new StringBuilder();
    for (RecordType<Task> type : Tasks.all()) {
      TaskInfo info = Tasks.info(type.type());
      text.append(type.name()).append(" — ").append(info.title()).append('\n');
      text.append("  asks       ").append(info.asks()).append('\n');
      text.append("  chance     ");
      text.append(String.format(Locale.ROOT, "%.4f%n", type.defaults().chance()));
      text.append("  source     ").append(info.source()).append('\n');
      for (RecordType.ParameterInfo parameter : type.parameters()) {
        text.append("  ").append(parameter.name()).append('=').append(parameter.defaultValue());
        text.append("  ").append(parameter.meaning()).append('\n');
      }
    }
    return text.toString();
  }
}
