// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Forecast;
import dev.crossover.bench.sweep.Forecast.Fate;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Progress;
import java.io.PrintWriter;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Map;

/// A forecast as a table of points and a sentence about them all.
final class ForecastTable {
  private static final List<String> HEAD =
      List.of("mechanism", "n", "mask", "input", "a call", "memory", "");

  private ForecastTable() {}

  /// The mask, with the study where it is not the usual one.
  private static String place(Point point) {
    if (!point.study().wholeSequence()) {
      return point.study().word();
    }
    return point.study() == Study.FORWARD
        ? point.mask()
        : point.mask() + ", " + point.study().word();
  }

  /// The points and what they will cost, for JSON: seconds of a call, bytes of heap.
  static Map<String, Object> values(Forecast forecast) {
    return Map.of(
        "seconds", forecast.seconds(), "forks", forecast.forks(), "points", forecast.rows());
  }

  /// Prints the points and what they will cost.
  static void print(Forecast forecast, PrintWriter out) {
    List<List<String>> rows = new ArrayList<>();
    rows.add(HEAD);
    for (Forecast.Row row : forecast.rows()) {
      Point point = row.point();
      boolean runs = row.fate() != Fate.SKIP;
      rows.add(
          List.of(
              point.spec(),
              Integer.toString(point.n()),
              place(point),
              point.input(),
              runs ? Progress.seconds(row.callSeconds()) : "-",
              row.heapBytes() == 0 ? "-" : (row.heapBytes() >> 20) + " MiB",
              switch (row.fate()) {
                case MEASURE -> "";
                case MEASURED -> "measured already";
                case SKIP -> "skipped: " + row.reason();
              }));
    }
    int[] widths = new int[HEAD.size()];
    for (List<String> row : rows) {
      for (int i = 0; i < widths.length - 1; i++) {
        widths[i] = Math.max(widths[i], row.get(i).length());
      }
    }
    for (List<String> row : rows) {
      StringBuilder line = new StringBuilder();
      for (int i = 0; i < widths.length - 1; i++) {
        String pad = " ".repeat(widths[i] - row.get(i).length());
        boolean number = i == 1 || i == 4 || i == 5;
        line.append(number ? pad + row.get(i) : row.get(i) + pad).append("  ");
      }
      out.println(line.append(row.getLast()).toString().stripTrailing());
    }
    long left = forecast.count(Fate.MEASURE);
    out.println();
    out.println(
        String.format(
            Locale.ROOT,
            "%d points: %d to measure with %d forks each, %d measured already, %d skipped",
            forecast.rows().size(),
            left,
            forecast.forks(),
            forecast.count(Fate.MEASURED),
            forecast.count(Fate.SKIP)));
    out.println(
        "predicted time: "
            + Progress.text(Duration.ofSeconds((long) Math.ceil(forecast.seconds())))
            + (forecast.rates().isEmpty() ? "" : " (" + forecast.rates() + ")"));
    out.flush();
  }
}
