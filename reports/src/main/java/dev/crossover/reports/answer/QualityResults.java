// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.bench.result.Student;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.task.TaskInfo;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining.Look;
import dev.crossover.models.training.TaskTraining.PositionLoss;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.function.ToDoubleFunction;

/// What mixers learned of one task: accuracy by mixer and length, with intervals over seeds.
///
/// @param task as on the command line
/// @param positions length that was trained
/// @param chance accuracy of the best guess that looks at nothing
/// @param lengths every length tested, ascending
/// @param rows one per mixer, at its best learning rate and settings, in order of first appearance
public record QualityResults(
    String task, int positions, double chance, List<Integer> lengths, List<Row> rows) {
  /// Accuracy from which a task counts as solved.
  public static final double SOLVED = 0.99;

  /// Copies the lists.
  public QualityResults {
    lengths = List.copyOf(lengths);
    rows = List.copyOf(rows);
  }

  /// All seeds of a mixer on a task, trained alike: of several learning rates or other settings at
  /// those of best mean accuracy.
  ///
  /// @param task what was learned
  /// @param mixer with what, options included
  /// @param records one per seed, at least one
  /// @param rates number of learning rates and other settings the best was taken of
  public record Row(String task, String mixer, List<QualityRecord> records, int rates) {
    /// Copies the records.
    public Row {
      records = List.copyOf(records);
    }

    /// Any record, for what all of them share.
    public QualityRecord first() {
      return records.getFirst();
    }

    /// Accuracies at a length, of the runs that were tested there.
    public double[] accuracies(int length) {
      return looks(length).stream().mapToDouble(Look::accuracy).toArray();
    }

    /// The last look of every run at a length.
    public List<Look> looks(int length) {
      return records.stream().flatMap(record -> record.last(length).stream()).toList();
    }

    /// Settings of the mechanism at which the trained models were evaluated beside their own.
    public List<String> settings() {
      return records.stream()
          .flatMap(record -> record.evaluated().stream())
          .map(QualityRecord.Evaluation::mixer)
          .distinct()
          .toList();
    }

    /// Accuracies of trained models at a length and another setting of the mechanism, or the one
    /// they were trained at, in the order of the records; of the runs that were evaluated so.
    ///
    /// @param setting the shortest text
    public double[] accuracies(String setting, int length) {
      boolean own = shortest(core()).filter(setting::equals).isPresent();
      return records.stream()
          .flatMap(record -> look(record, setting, length, own).stream())
          .mapToDouble(Look::accuracy)
          .toArray();
    }

    private static Optional<Look> look(
        QualityRecord record, String setting, int length, boolean own) {
      Optional<Look> found =
          record.evaluated().stream()
              .filter(one -> one.mixer().equals(setting) && one.look().length() == length)
              .map(QualityRecord.Evaluation::look)
              .reduce((_, later) -> later);
      return found.isEmpty() && own ? record.last(length) : found;
    }

    /// Mean accuracy at a length; NaN where none was tested.
    public double accuracy(int length) {
      double[] values = accuracies(length);
      return values.length == 0 ? Double.NaN : Student.mean(values);
    }

    /// Lower end of the interval over seeds; NaN with fewer than two.
    public double low(int length) {
      return QualityResults.low(accuracies(length));
    }

    /// Upper end of the interval over seeds; NaN with fewer than two.
    public double high(int length) {
      return QualityResults.high(accuracies(length));
    }

    /// Lower end of the interval over seeds, or the accuracy of the one seed there is.
    double least(int length) {
      double low = low(length);
      return Double.isNaN(low) ? accuracy(length) : low;
    }

    /// Upper end of the interval over seeds, or the accuracy of the one seed there is.
    double most(int length) {
      double high = high(length);
      return Double.isNaN(high) ? accuracy(length) : high;
    }

    /// Median over seeds; NaN where none was tested.
    public double median(int length) {
      double[] values = accuracies(length);
      return values.length == 0 ? Double.NaN : Statistics.median(values);
    }

    /// Mean loss at asked positions in bits; NaN where none was tested.
    public double bits(int length) {
      return looks(length).stream().mapToDouble(Look::loss).average().orElse(Double.NaN)
          / Math.log(2);
    }

    /// Loss by position of every run that has it.
    public List<List<PositionLoss>> positionLosses() {
      return records.stream().map(QualityRecord::positionLosses).filter(Objects::nonNull).toList();
    }

    /// Mean loss in bits by the last position of each stretch; empty where no run has it.
    public Map<Integer, Double> bitsByPosition() {
      Map<Integer, List<Double>> bits = new TreeMap<>();
      positionLosses()
          .forEach(
              run ->
                  run.forEach(
                      stretch ->
                          bits.computeIfAbsent(stretch.to(), _ -> new ArrayList<>())
                              .add(stretch.loss() / Math.log(2))));
      Map<Integer, Double> means = new TreeMap<>();
      bits.forEach(
          (to, values) ->
              means.put(
                  to, Student.mean(values.stream().mapToDouble(Double::doubleValue).toArray())));
      return means;
    }

    /// Seeds whose accuracy at a length is that of a solved task.
    public long solved(int length) {
      return Arrays.stream(accuracies(length)).filter(value -> value >= SOLVED).count();
    }

    /// State of a decoding session after one sample; NaN where the mixer has none.
    public double stateBytes() {
      return first().stateBytes() < 0 ? Double.NaN : first().stateBytes();
    }

    /// What mixes positions, without the options: `longformer:window=16`, `lstm`.
    public String core() {
      return mixer.split("\\+")[0];
    }

    /// The mechanism's name, or the baseline's.
    public String mechanism() {
      return core().split(":")[0];
    }

    /// The shortest text that means the mechanism, as in records of sweeps; `layer/lstm` and the
    /// like for what is no mechanism.
    public String spec() {
      return shortest(core()).orElse(Labels.LAYER + core());
    }

    /// Whether a series is of this mechanism at this setting, or of the layer around it.
    ///
    /// @param layer whether it must be of the layer
    boolean isOf(Series series, boolean layer) {
      boolean around = series.spec().startsWith(Labels.LAYER);
      String other = around ? series.spec().substring(Labels.LAYER.length()) : series.spec();
      boolean needsLayer = layer || spec().startsWith(Labels.LAYER);
      return around == needsLayer
          && shortest(other).orElse(other).equals(shortest(core()).orElse(core()));
    }

    private static Optional<String> shortest(String text) {
      try {
        return Optional.of(Catalogue.describe(Mechanisms.parse(text)));
      } catch (IllegalArgumentException e) {
        return Optional.empty();
      }
    }

    /// The title and what was set: `DeltaNet, beta_max=2`.
    public String label() {
      String title =
          mechanism().equals("long_convolution") ? "Long convolution" : Labels.title(mechanism());
      String settings = mixer.substring(mechanism().length()).replaceAll("[:+,]", ", ");
      return Labels.clean(settings.isEmpty() ? title : title + settings);
    }

    /// Why no accuracy is known at all; empty where one is.
    public String refusal() {
      return records.stream().allMatch(record -> record.status() == Status.REFUSED)
          ? first().reason()
          : "";
    }
  }

  /// The results of some records, task by task.
  public static List<QualityResults> of(List<QualityRecord> records) {
    Map<String, Map<String, Map<String, List<QualityRecord>>>> groups = new LinkedHashMap<>();
    for (QualityRecord record : records) {
      groups
          .computeIfAbsent(record.task(), _ -> new LinkedHashMap<>())
          .computeIfAbsent(record.mixer(), _ -> new LinkedHashMap<>())
          .computeIfAbsent(record.recipe() + " " + record.dataSeed(), _ -> new ArrayList<>())
          .add(record);
    }
    List<QualityResults> results = new ArrayList<>();
    groups.forEach((task, mixers) -> results.add(of(task, mixers)));
    return List.copyOf(results);
  }

  private static QualityResults of(
      String task, Map<String, Map<String, List<QualityRecord>>> mixers) {
    int positions = Tasks.parse(task).positions();
    List<Row> rows = new ArrayList<>();
    TreeSet<Integer> lengths = new TreeSet<>();
    double chance = Double.NaN;
    for (Map.Entry<String, Map<String, List<QualityRecord>>> entry : mixers.entrySet()) {
      int rates = entry.getValue().size();
      Row best = null;
      for (List<QualityRecord> seeds : entry.getValue().values()) {
        Row row = new Row(task, entry.getKey(), seeds, rates);
        if (best == null || row.accuracy(positions) > best.accuracy(positions)) {
          best = row;
        }
      }
      if (best != null) {
        rows.add(best);
        chance = best.first().chance();
        best.records()
            .forEach(record -> record.looks().forEach(look -> lengths.add(look.length())));
      }
    }
    return new QualityResults(task, positions, chance, List.copyOf(lengths), rows);
  }

  /// The task's title and sizes: `Parity, every=true`.
  public String title() {
    int colon = task.indexOf(':');
    return info().title() + (colon < 0 ? "" : ", " + task.substring(colon + 1).replace(",", ", "));
  }

  /// Loss in bits of a guess that finds every label as likely.
  public double guessBits() {
    return Math.log(Tasks.parse(task).classes()) / Math.log(2);
  }

  /// What tables of counts predict without a model, as a sentence that begins with a space; empty
  /// where the task has none.
  public String floors() {
    StringBuilder text = new StringBuilder();
    Tasks.parse(task)
        .floors()
        .forEach(
            (table, bits) ->
                text.append(text.isEmpty() ? " Without a model, in bits: " : ", ")
                    .append(String.format(Locale.ROOT, "%.2f from %s", bits, table)));
    return text.isEmpty() ? "" : text + ".";
  }

  /// What documentation says of the task.
  public TaskInfo info() {
    return Tasks.info(Tasks.parse(task).getClass());
  }

  /// The row of a mixer, or of a mixer with options where only such a one was trained.
  public Optional<Row> row(String mixer) {
    return rows.stream().filter(row -> row.mixer().equals(mixer)).findFirst();
  }

  /// The rows that nothing beats in both accuracy and a cost, by ascending cost.
  public List<Row> front(ToDoubleFunction<Row> cost) {
    return Pareto.front(rows, cost, row -> 1 - row.accuracy(positions));
  }

  /// `0.994`, with its interval where there are several seeds; `–` where nothing was tested.
  public static String words(Row row, int length) {
    return words(row.accuracies(length));
  }

  /// The same of accuracies of seeds.
  public static String words(double[] accuracies) {
    if (accuracies.length == 0) {
      return "–";
    }
    double mean = Student.mean(accuracies);
    return accuracies.length < 2
        ? String.format(Locale.ROOT, "%.3f", mean)
        : String.format(Locale.ROOT, "%.3f (%.3f–%.3f)", mean, low(accuracies), high(accuracies));
  }

  private static double low(double[] values) {
    return values.length < 2
        ? Double.NaN
        : Math.max(0, Student.mean(values) - Student.half(values));
  }

  private static double high(double[] values) {
    return values.length < 2
        ? Double.NaN
        : Math.min(1, Student.mean(values) + Student.half(values));
  }
}
