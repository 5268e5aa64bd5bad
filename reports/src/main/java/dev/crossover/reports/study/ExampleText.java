// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.study;

import dev.crossover.bench.reading.HeadStatistics;
import dev.crossover.bench.reading.WorkedExample;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;

/// Attention over three tokens, every number of it, in words and fractions that can be followed by
/// hand.
public final class ExampleText {
  private static final int LARGEST_DENOMINATOR = 21;
  private static final int LABEL = 20;
  private static final int COLUMN = 19;

  private ExampleText() {}

  /// The example, line by line; numbers are computed, not copied.
  public static String of() {
    WorkedExample plain = WorkedExample.ofThreeTokens(false);
    WorkedExample causal = WorkedExample.ofThreeTokens(true);
    List<String> lines = new ArrayList<>();
    lines.add("Three tokens of width d = 4. Scores are q·k / √d, so that products are halved.");
    lines.add("Queries are 2 ln 2 times whole numbers: the exponentials of scores are 1, 2 and 4.");
    lines.add("");
    for (int i = 0; i < 3; i++) {
      lines.add(
          String.format(
              Locale.ROOT,
              "q%d = 2 ln 2 · (%s)   k%d = (%s)   v%d = (%s)",
              i + 1,
              row(divided(WorkedExample.QUERIES[i], 2 * Math.log(2)), ", "),
              i + 1,
              row(WorkedExample.KEYS[i], ", "),
              i + 1,
              row(WorkedExample.VALUES[i], ", ")));
    }
    lines.add("");
    lines.add(columns("", "for q1", "for q2", "for q3"));
    lines.add(columns("scores / ln 2", each(plain.scores(), s -> divided(s, Math.log(2)))));
    lines.add(columns("their exponentials", each(plain.scores(), ExampleText::exponentials)));
    lines.add(columns("weights", each(plain.weights(), w -> w)));
    lines.add(columns("outputs", each(plain.out(), o -> o)));
    lines.add(columns("causal weights", each(causal.weights(), w -> w)));
    lines.add(columns("causal outputs", each(causal.out(), o -> o)));
    lines.add("");
    lines.add(
        "2 v1 + v2 − v3 = 0: any multiple of (2, 1, −1) may be added to a row of weights and");
    lines.add("the outputs stay as they are. The weights of least length with the same outputs:");
    lines.add("");
    lines.add(columns("effective", each(plain.effective(), e -> e)));
    lines.add(columns("causal, effective", each(causal.effective(), e -> e)));
    lines.add("");
    HeadStatistics head = HeadStatistics.of(plain.weights());
    lines.add(
        String.format(
            Locale.ROOT,
            "Without the mask: mean entropy %.4f nats, mean distance %s tokens.",
            head.entropyExact(),
            number(head.meanDistance())));
    return String.join("\n", lines) + "\n";
  }

  private interface Rows {
    double[] of(double[] row);
  }

  private static String[] each(double[][] matrix, Rows rows) {
    String[] cells = new String[matrix.length];
    for (int i = 0; i < cells.length; i++) {
      cells[i] = row(rows.of(matrix[i]), "  ");
    }
    return cells;
  }

  private static double[] divided(double[] row, double by) {
    return Arrays.stream(row).map(x -> x / by).toArray();
  }

  private static double[] exponentials(double[] row) {
    return Arrays.stream(row).map(Math::exp).toArray();
  }

  private static String columns(String label, String... cells) {
    StringBuilder line = new StringBuilder(padded(label, LABEL));
    for (String cell : cells) {
      line.append(padded(cell, COLUMN));
    }
    return line.toString().stripTrailing();
  }

  private static String padded(String text, int width) {
    return text + " ".repeat(Math.max(1, width - text.length()));
  }

  private static String row(double[] values, String joint) {
    List<String> texts = new ArrayList<>();
    for (double value : values) {
      texts.add(number(value));
    }
    return String.join(joint, texts);
  }

  /// A fraction of a small denominator where the number is one, otherwise four decimals.
  static String number(double value) {
    for (int q = 1; q <= LARGEST_DENOMINATOR; q++) {
      double p = Math.rint(value * q);
      if (Math.abs(value * q - p) < 1e-9) {
        String sign = p < 0 ? "−" : "";
        String whole = sign + (long) Math.abs(p);
        return q == 1 ? whole : whole + "/" + q;
      }
    }
    return String.format(Locale.ROOT, "%.4f", value).replace('-', '−');
  }
}
