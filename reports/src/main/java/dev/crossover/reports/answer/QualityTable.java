package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.bench.result.Student;
import dev.crossover.models.task.Task;
import dev.crossover.models.task.TaskInfo;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;

/// Tables of quality records: accuracy by task and mixer, at the learning rate that is best on
/// average, with an interval over seeds.
public final class QualityTable {
  private QualityTable() {}

  /// One row: all seeds of a mixer on a task at its best learning rate.
  ///
  /// @param task what was learned
  /// @param mixer with what
  /// @param records one per seed
  record Row(String task, String mixer, List<QualityRecord> records) {

    /// Accuracies at a length, of the runs that were tested there.
    double[] accuracies(int length) {
      return records.stream()
          .flatMap(record -> record.last(length).stream())
          .mapToDouble(TaskTraining.Look::accuracy)
          .toArray();
    }
  }

  /// The rows of some records: of several learning rates the one of best mean accuracy at the
  /// task's own length.
  static List<Row> rows(List<QualityRecord> records) {
    Map<String, Map<Double, List<QualityRecord>>> groups = new LinkedHashMap<>();
    for (QualityRecord record : records) {
      groups
          .computeIfAbsent(record.task() + "\n" + record.mixer(), _ -> new LinkedHashMap<>())
          .computeIfAbsent(record.learningRate(), _ -> new ArrayList<>())
          .add(record);
    }
    List<Row> rows = new ArrayList<>();
    for (Map<Double, List<QualityRecord>> rates : groups.values()) {
      List<QualityRecord> best = List.of();
      double most = Double.NEGATIVE_INFINITY;
      for (List<QualityRecord> seeds : rates.values()) {
        double mean = Student.mean(new Row("", "", seeds).accuracies(ownLength(seeds.getFirst())));
        if (best.isEmpty() || mean > most) {
          best = seeds;
          most = mean;
        }
      }
      rows.add(new Row(best.getFirst().task(), best.getFirst().mixer(), best));
    }
    return rows;
  }

  private static int ownLength(QualityRecord record) {
    return Tasks.parse(record.task()).positions();
  }

  /// `0.994`, with an interval over seeds where there are several.
  static String accuracy(double[] values) {
    if (values.length == 0) {
      return "–";
    }
    double mean = Student.mean(values);
    if (values.length == 1) {
      return String.format(Locale.ROOT, "%.3f", mean);
    }
    double half = Student.half(values);
    return String.format(
        Locale.ROOT, "%.3f (%.3f–%.3f)", mean, Math.max(0, mean - half), Math.min(1, mean + half));
  }

  /// The records as Markdown: a table per task.
  public static String of(List<QualityRecord> records) {
    StringBuilder text = new StringBuilder();
    Map<String, List<Row>> byTask = new LinkedHashMap<>();
    for (Row row : rows(records)) {
      byTask.computeIfAbsent(row.task(), _ -> new ArrayList<>()).add(row);
    }
    byTask.forEach((task, rows) -> table(text, task, rows));
    return text.toString();
  }

  private static void table(StringBuilder text, String task, List<Row> rows) {
    QualityRecord any = rows.getFirst().records().getFirst();
    TreeSet<Integer> lengths = new TreeSet<>();
    rows.forEach(
        row ->
            row.records()
                .forEach(record -> record.looks().forEach(look -> lengths.add(look.length()))));
    text.append("## ").append(task).append("\n\n");
    text.append(String.format(Locale.ROOT, "Chance %.3f.", any.chance()));
    text.append(" Accuracy at asked positions, mean over seeds with its 95 % interval.\n\n");
    text.append("| mixer | lr | seeds | solved |");
    lengths.forEach(length -> text.append(" n = ").append(length).append(" |"));
    text.append(" steps | state, bytes | parameters | tokens/s |\n|---|---|---|---|");
    text.append("---|".repeat(lengths.size() + 4)).append('\n');
    for (Row row : rows) {
      QualityRecord first = row.records().getFirst();
      long solved =
          row.records().stream().filter(record -> record.status() == Status.SOLVED).count();
      text.append("| `").append(row.mixer()).append("` | ").append(rate(first)).append(" | ");
      text.append(row.records().size()).append(" | ").append(solved).append(" |");
      for (int length : lengths) {
        text.append(' ').append(accuracy(row.accuracies(length))).append(" |");
      }
      text.append(' ').append(steps(row)).append(" | ");
      text.append(first.stateBytes() < 0 ? "–" : Long.toString(first.stateBytes())).append(" | ");
      text.append(first.parameters()).append(" | ");
      text.append(String.format(Locale.ROOT, "%.0f", first.tokensPerSecond())).append(" |\n");
    }
    for (Row row : rows) {
      for (QualityRecord record : row.records()) {
        if (!record.reason().isEmpty()) {
          text.append("\n`").append(row.mixer()).append("`, seed ").append(record.seed());
          text.append(": ").append(record.status().name().toLowerCase(Locale.ROOT));
          text.append(", ").append(record.reason()).append(".\n");
        }
      }
    }
    text.append('\n');
    published(text, task);
  }

  private static String rate(QualityRecord record) {
    return record.recipe().getOrDefault("lr", "?");
  }

  private static String steps(Row row) {
    long least = row.records().stream().mapToLong(QualityRecord::steps).min().orElse(0);
    long most = row.records().stream().mapToLong(QualityRecord::steps).max().orElse(0);
    return least == most ? Long.toString(most) : least + "–" + most;
  }

  private static void published(StringBuilder text, String task) {
    TaskInfo info = Tasks.info(Tasks.parse(task).getClass());
    text.append("Published (").append(info.source()).append("):\n\n");
    for (String line : info.published()) {
      text.append("- ").append(line).append('\n');
    }
    text.append('\n');
  }

  /// Writes `quality.md` with its command and machine.
  ///
  /// @return the file
  public static Path write(Path folder, List<QualityRecord> records, String command)
      throws IOException {
    StringBuilder text =
        new StringBuilder("# Quality\n\n```sh\n").append(command).append("\n```\n\n");
    if (!records.isEmpty()) {
      QualityRecord first = records.getFirst();
      text.append(first.machine().cpu()).append(", ").append(first.machine().cores());
      text.append(" cores, ").append(first.threads()).append(" threads · JDK ");
      text.append(first.machine().jdk()).append(" · commit ").append(first.commit());
      text.append("\n\n");
    }
    text.append(of(records));
    Files.createDirectories(folder);
    return Files.writeString(folder.resolve("quality.md"), text);
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
