// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.models.task.Tasks;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Predicate;

/// Differences between mechanisms that others published, and whether these records show them.
///
/// One shows where everything that should solve the task does at the trained length, in the mean
/// over seeds, and nothing that should not.
public final class QualitySeparations {
  private static final List<Separation> KNOWN =
      List.of(
          new Separation(
              "mqar",
              List.of("tiled", "deltanet"),
              List.of("linear_transformer"),
              "softmax and DeltaNet solve multi-query associative recall, linear attention without"
                  + " a convolution stays at guessing among the values seen (Arora et al., Zoology,"
                  + " 2024)"),
          new Separation(
              "parity",
              List.of("lstm", "deltanet+beta_max=2"),
              List.of("tiled", "mamba2_ssd"),
              "LSTM and DeltaNet with negative eigenvalues solve parity, softmax and Mamba-2 do not"
                  + " (Grazzi et al., 2025)"),
          new Separation(
              "parity",
              List.of("deltanet+beta_max=2"),
              List.of("deltanet"),
              "DeltaNet solves parity with negative eigenvalues only (Grazzi et al., 2025)"),
          new Separation(
              "selective_copying",
              List.of("mamba2_ssd"),
              List.of("linear_transformer"),
              "selective copying favours gated recurrences (Poli et al., 2024, quoted from"
                  + " memory)"),
          new Separation(
              "induction",
              List.of("mamba2_ssd"),
              List.of("longformer"),
              "Mamba finds induction heads, a window shorter than the sequence does not (Gu, Dao,"
                  + " 2023, quoted from memory)"));

  private QualitySeparations() {}

  /// A published difference.
  ///
  /// @param task the task's name
  /// @param solving mixers that should solve it
  /// @param failing mixers that should not
  /// @param claim in words
  private record Separation(
      String task, List<String> solving, List<String> failing, String claim) {}

  /// A difference and what the records say of it.
  ///
  /// @param claim in words, with its source
  /// @param verdict `shows`, `does not show`, or `not measured`
  /// @param evidence the accuracies
  public record Verdict(String claim, String verdict, String evidence) {}

  /// The verdicts that some results allow; differences of which no task was trained are left out.
  public static List<Verdict> of(List<QualityResults> results) {
    List<Verdict> verdicts = new ArrayList<>();
    for (Separation known : KNOWN) {
      for (QualityResults result : results) {
        if (Tasks.nameOf(Tasks.parse(result.task())).equals(known.task())) {
          verdicts.add(judge(known, result));
        }
      }
    }
    return List.copyOf(verdicts);
  }

  private static Verdict judge(Separation known, QualityResults result) {
    List<String> evidence = new ArrayList<>();
    List<String> missing = new ArrayList<>();
    boolean shows = true;
    for (String mixer : known.solving()) {
      List<Row> rows = result.rows().stream().filter(like(mixer)).toList();
      if (rows.isEmpty()) {
        missing.add(mixer);
      }
      for (Row row : rows) {
        shows &= accuracy(row, result) >= QualityResults.SOLVED;
        evidence.add(words(row, result));
      }
    }
    for (String mixer : known.failing()) {
      List<Row> rows = result.rows().stream().filter(like(mixer)).toList();
      if (rows.isEmpty()) {
        missing.add(mixer);
      }
      for (Row row : rows) {
        shows &= accuracy(row, result) < QualityResults.SOLVED;
        evidence.add(words(row, result));
      }
    }
    if (!missing.isEmpty()) {
      return new Verdict(known.claim(), "not measured", "without " + String.join(", ", missing));
    }
    return new Verdict(
        known.claim(),
        shows ? "shows" : "does not show",
        result.title() + ": " + String.join("; ", evidence));
  }

  private static double accuracy(Row row, QualityResults result) {
    double accuracy = row.accuracy(result.positions());
    return Double.isNaN(accuracy) ? 0 : accuracy;
  }

  private static String words(Row row, QualityResults result) {
    long most = row.records().stream().mapToLong(record -> record.steps()).max().orElse(0);
    return String.format(
        Locale.ROOT,
        "%s %s after %d steps",
        row.label(),
        QualityResults.words(row, result.positions()),
        most);
  }

  /// Rows of a mechanism: with the option named where one is, and without it where none is. Other
  /// options, such as a convolution or layers, may be set.
  private static Predicate<Row> like(String mixer) {
    String[] parts = mixer.split("\\+");
    return row -> {
      List<String> options = List.of(row.mixer().split("\\+"));
      boolean negative = options.stream().anyMatch(option -> option.startsWith("beta_max="));
      return row.mechanism().equals(parts[0])
          && (parts.length == 1 ? !negative : options.contains(parts[1]));
    };
  }
}
