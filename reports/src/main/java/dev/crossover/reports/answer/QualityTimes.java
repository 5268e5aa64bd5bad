// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Predicate;

/// Measured time per token of what was trained, from records of sweeps that lie beside.
///
/// @param name `forward`, `layer` or `decode`
/// @param title in words
/// @param panel where the times are from
public record QualityTimes(String name, String title, Panel panel) {
  /// Name of the times of causal forward passes of mechanisms.
  static final String FORWARD = "forward";

  /// What some records offer: causal forward passes of mechanisms, the same of layers around them,
  /// decoding; of several panels of a kind the one with most series.
  public static List<QualityTimes> of(List<ResultRecord> records) {
    List<Panel> panels = records.isEmpty() ? List.of() : Panel.of(records);
    Predicate<Panel> causal = p -> !p.decoding() && p.key().mask().equals("causal");
    Predicate<Panel> layers =
        p -> p.series().stream().anyMatch(s -> s.spec().startsWith(Labels.LAYER));
    List<QualityTimes> times = new ArrayList<>();
    first(panels, causal.and(layers.negate()))
        .ifPresent(
            p -> times.add(new QualityTimes(FORWARD, "time per token, causal forward pass", p)));
    first(panels, causal.and(layers))
        .ifPresent(
            p -> times.add(new QualityTimes("layer", "time per token of a causal layer", p)));
    first(panels, Panel::decoding)
        .ifPresent(p -> times.add(new QualityTimes("decode", "time per decoded token", p)));
    return List.copyOf(times);
  }

  private static Optional<Panel> first(List<Panel> panels, Predicate<Panel> wish) {
    return panels.stream().filter(p -> !p.series().isEmpty()).filter(wish).findFirst();
  }

  /// The measured point of a row's mixer at a length.
  public Optional<Point> point(Row row, int n) {
    return panel.series().stream()
        .filter(series -> row.isOf(series, name.equals("layer")))
        .findFirst()
        .flatMap(series -> series.at(n))
        .filter(point -> point.seconds() > 0);
  }

  /// Seconds per token; NaN where the row's mixer was not measured there.
  public double seconds(Row row, int n) {
    return point(row, n)
        .map(point -> point.seconds() / (point.first().shape().batch() * (double) tokens(n)))
        .orElse(Double.NaN);
  }

  private int tokens(int n) {
    return panel.decoding() ? 1 : n;
  }

  /// Lengths at which anything of some results was measured.
  public List<Integer> lengths(QualityResults results) {
    return panel.lengths().stream()
        .filter(n -> results.rows().stream().anyMatch(row -> point(row, n).isPresent()))
        .toList();
  }

  /// The largest length at which most rows of some results were measured; zero where none was.
  public int chosen(QualityResults results) {
    int best = 0;
    long most = 1;
    for (int n : panel.lengths()) {
      long there = results.rows().stream().filter(row -> point(row, n).isPresent()).count();
      if (there >= most) {
        most = there;
        best = n;
      }
    }
    return best;
  }
}
