// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.Student;
import dev.crossover.models.training.TaskTraining.Look;
import dev.crossover.reports.answer.QualityResults;
import dev.crossover.reports.answer.QualityResults.Row;
import dev.crossover.reports.answer.QualityTimes;
import dev.crossover.reports.answer.Wording;
import dev.crossover.reports.page.Table.Cell;
import dev.crossover.reports.page.Table.Column;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeMap;

/// The tables of what was learned.
final class QualityTables {
  private QualityTables() {}

  /// Mixers down, tasks across: accuracy at the trained length, its interval over seeds, and how
  /// many seeds solved the task; chance first.
  static Table overview(List<QualityResults> results) {
    List<Column> columns = new ArrayList<>();
    columns.add(new Column("mixer", "mixer", false));
    for (QualityResults one : results) {
      columns.add(new Column(one.title(), one.task(), true));
    }
    List<List<Cell>> rows = new ArrayList<>();
    List<Cell> chance = new ArrayList<>(List.of(Cell.text("chance")));
    results.forEach(one -> chance.add(Cell.number(three(one.chance()), one.chance())));
    rows.add(chance);
    Map<String, String> mixers = new LinkedHashMap<>();
    results.forEach(one -> one.rows().forEach(row -> mixers.put(row.mixer(), row.label())));
    mixers.forEach(
        (mixer, label) -> {
          List<Cell> cells = new ArrayList<>(List.of(new Cell(label, mixer)));
          for (QualityResults one : results) {
            cells.add(one.row(mixer).map(row -> accuracy(row, one)).orElse(new Cell("–", "")));
          }
          rows.add(cells);
        });
    return new Table("quality", columns, rows);
  }

  private static Cell accuracy(Row row, QualityResults one) {
    if (!row.refusal().isEmpty()) {
      return new Cell("refused", "");
    }
    int seeds = row.accuracies(one.positions()).length;
    String text = QualityResults.words(row, one.positions());
    return Cell.number(
        seeds > 1 ? text + ", " + row.solved(one.positions()) + " of " + seeds : text,
        row.accuracy(one.positions()));
  }

  /// Everything of one task that people read, a row per mixer.
  static Table task(QualityResults results, List<QualityTimes> times) {
    List<Column> columns =
        new ArrayList<>(
            List.of(
                new Column("mixer", "mixer", false),
                new Column("learning rate", "lr", true),
                new Column("seeds that solved it", "solved", true)));
    for (int n : results.lengths()) {
      columns.add(new Column("accuracy, n = " + Wording.length(n), "accuracy_" + n, true));
    }
    columns.add(new Column("above chance", "scaled_accuracy", true));
    columns.add(new Column("whole samples right", "sequence_accuracy", true));
    columns.add(new Column("loss, bits", "loss_bits", true));
    columns.add(new Column("steps", "steps", true));
    columns.add(new Column("state", "state_bytes", true));
    for (QualityTimes one : times) {
      int n = one.chosen(results);
      if (n > 0) {
        columns.add(
            new Column(one.title() + ", n = " + Wording.length(n), one.name() + "_seconds", true));
      }
    }
    columns.add(new Column("parameters", "parameters", true));
    columns.add(new Column("trained tokens per second", "tokens_per_second", true));
    columns.add(new Column("", "note", false));
    List<List<Cell>> rows = new ArrayList<>();
    results.rows().forEach(row -> rows.add(cells(row, results, times)));
    return new Table("task", columns, rows);
  }

  private static List<Cell> cells(Row row, QualityResults results, List<QualityTimes> times) {
    QualityRecord first = row.first();
    int own = results.positions();
    int seeds = row.accuracies(own).length;
    List<Cell> cells = new ArrayList<>();
    cells.add(new Cell(row.label(), row.mixer()));
    String best = row.rates() > 1 ? ", best of " + row.rates() : "";
    cells.add(Cell.number(rate(first) + best, first.learningRate()));
    cells.add(Cell.number(row.solved(own) + " of " + seeds, row.solved(own)));
    for (int n : results.lengths()) {
      cells.add(Cell.number(QualityResults.words(row, n), row.accuracy(n)));
    }
    double scaled = (row.accuracy(own) - results.chance()) / (1 - results.chance());
    cells.add(Cell.number(three(scaled), scaled));
    double whole =
        row.looks(own).stream().mapToDouble(Look::sequenceAccuracy).average().orElse(Double.NaN);
    cells.add(Cell.number(three(whole), whole));
    cells.add(Cell.number(three(row.bits(own)), row.bits(own)));
    double steps =
        row.records().stream().mapToLong(QualityRecord::steps).average().orElse(Double.NaN);
    cells.add(Cell.number(Wording.whole(steps), steps));
    cells.add(Cell.number(Wording.bytes(row.stateBytes()), row.stateBytes()));
    for (QualityTimes one : times) {
      int n = one.chosen(results);
      if (n > 0) {
        double seconds = one.seconds(row, n);
        cells.add(Cell.number(Wording.seconds(seconds), seconds));
      }
    }
    cells.add(Cell.number(Wording.whole(first.parameters()), first.parameters()));
    cells.add(
        Cell.number(Wording.whole(first.tokensPerSecond()), zeroIsNone(first.tokensPerSecond())));
    cells.add(Cell.text(note(row)));
    return cells;
  }

  /// Accuracy of trained models at other settings of their mechanism, a row per setting; none where
  /// no model was evaluated so.
  static Table settings(QualityResults results) {
    List<Column> columns =
        new ArrayList<>(
            List.of(
                new Column("trained", "mixer", false), new Column("evaluated", "setting", false)));
    for (int n : results.lengths()) {
      columns.add(new Column("accuracy, n = " + Wording.length(n), "accuracy_" + n, true));
    }
    List<List<Cell>> rows = new ArrayList<>();
    for (Row row : results.rows()) {
      for (String setting : row.settings()) {
        List<Cell> cells = new ArrayList<>(List.of(new Cell(row.label(), row.mixer())));
        cells.add(Cell.text(setting));
        for (int n : results.lengths()) {
          double[] values = row.accuracies(setting, n);
          double mean = values.length == 0 ? Double.NaN : Student.mean(values);
          cells.add(Cell.number(QualityResults.words(values), mean));
        }
        rows.add(cells);
      }
    }
    return new Table("settings", columns, rows);
  }

  private static double zeroIsNone(double value) {
    return value == 0 ? Double.NaN : value;
  }

  private static String rate(QualityRecord record) {
    return record.recipe().getOrDefault("lr", "–");
  }

  /// Why runs ended early.
  private static String note(Row row) {
    List<String> notes = new ArrayList<>();
    for (QualityRecord record : row.records()) {
      if (!record.reason().isEmpty()) {
        String status = record.status().name().toLowerCase(Locale.ROOT);
        String seed = row.records().size() > 1 ? "seed " + record.seed() + ": " : "";
        notes.add(seed + status + ", " + record.reason());
      }
    }
    return String.join("; ", notes);
  }

  /// Every look at test samples of every run.
  static Table looks(List<QualityRecord> records) {
    List<List<Cell>> rows = new ArrayList<>();
    for (QualityRecord record : records) {
      for (Look look : record.looks()) {
        rows.add(
            step(
                record,
                look.step(),
                Cell.number(Integer.toString(look.length()), look.length()),
                Cell.number(three(look.accuracy()), look.accuracy()),
                Cell.number(three(look.sequenceAccuracy()), look.sequenceAccuracy()),
                Cell.number(three(look.loss()), look.loss())));
      }
    }
    return steps(
        "quality-looks",
        rows,
        new Column("n", "n", true),
        new Column("accuracy", "accuracy", true),
        new Column("whole samples right", "sequence_accuracy", true),
        new Column("loss", "loss_nats", true));
  }

  /// Loss by position, mixers down and stretches of positions across; mean over seeds, in bits.
  static Table positions(QualityResults results) {
    Map<Integer, Integer> stretches = new TreeMap<>();
    for (Row row : results.rows()) {
      row.positionLosses().forEach(run -> run.forEach(s -> stretches.put(s.to(), s.from())));
    }
    List<Column> columns = new ArrayList<>(List.of(new Column("mixer", "mixer", false)));
    stretches.forEach(
        (to, from) ->
            columns.add(
                new Column(
                    (from.equals(to) ? "" : from + "–") + to, "bits_" + from + "_" + to, true)));
    List<List<Cell>> rows = new ArrayList<>();
    for (Row row : results.rows()) {
      Map<Integer, Double> bits = row.bitsByPosition();
      if (!bits.isEmpty()) {
        List<Cell> cells = new ArrayList<>(List.of(new Cell(row.label(), row.mixer())));
        for (int to : stretches.keySet()) {
          double value = bits.getOrDefault(to, Double.NaN);
          cells.add(Cell.number(three(value), value));
        }
        rows.add(cells);
      }
    }
    return new Table("positions", columns, rows);
  }

  /// Training loss of every run.
  static Table losses(List<QualityRecord> records) {
    List<List<Cell>> rows = new ArrayList<>();
    for (QualityRecord record : records) {
      for (QualityRecord.CurvePoint point : record.curve()) {
        rows.add(step(record, point.step(), Cell.number(three(point.loss()), point.loss())));
      }
    }
    return steps("quality-losses", rows, new Column("loss", "loss_nats", true));
  }

  /// A table of runs by step.
  private static Table steps(String name, List<List<Cell>> rows, Column... more) {
    List<Column> columns =
        new ArrayList<>(
            List.of(
                new Column("task", "task", false),
                new Column("mixer", "mixer", false),
                new Column("learning rate", "lr", true),
                new Column("seed", "seed", true),
                new Column("step", "step", true)));
    columns.addAll(List.of(more));
    return new Table(name, columns, rows);
  }

  private static List<Cell> step(QualityRecord record, long step, Cell... more) {
    List<Cell> cells =
        new ArrayList<>(
            List.of(
                Cell.text(record.task()),
                Cell.text(record.mixer()),
                Cell.number(rate(record), record.learningRate()),
                Cell.number(Long.toString(record.seed()), record.seed()),
                Cell.number(Long.toString(step), step)));
    cells.addAll(List.of(more));
    return cells;
  }

  /// Accuracy, state and measured time at every measured length, for the chart of what time buys.
  static Table times(QualityResults results, QualityTimes times) {
    List<Column> columns =
        List.of(
            new Column("mixer", "mixer", false),
            new Column("n", "n", true),
            new Column("seconds per token", "seconds_per_token", true),
            new Column("accuracy", "accuracy", true));
    List<List<Cell>> rows = new ArrayList<>();
    for (Row row : results.rows()) {
      for (int n : times.lengths(results)) {
        double seconds = times.seconds(row, n);
        double accuracy = row.accuracy(results.positions());
        if (!Double.isNaN(seconds)) {
          rows.add(
              List.of(
                  Cell.text(row.mixer()),
                  Cell.number(Wording.length(n), n),
                  Cell.number(Wording.seconds(seconds), seconds),
                  Cell.number(three(accuracy), accuracy)));
        }
      }
    }
    return new Table(times.name(), columns, rows);
  }

  private static String three(double value) {
    return String.format(Locale.ROOT, "%.3f", value);
  }
}
