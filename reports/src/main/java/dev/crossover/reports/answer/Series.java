// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import java.util.List;
import java.util.Optional;

/// One mechanism with one setting of its parameters inside a panel.
///
/// @param label how it is called, see [Labels#of(ResultRecord)]
/// @param mechanism name in the catalogue
/// @param spec `name:param=value,…` that recreates it
/// @param approximates what it approximates
/// @param points measured lengths, ascending, at least one
public record Series(
    String label, String mechanism, String spec, Approximates approximates, List<Point> points) {

  /// Copies the points.
  public Series {
    points = List.copyOf(points);
  }

  /// Time per call over lengths; nothing when no length was timed.
  public Optional<Curve> time() {
    List<Sample> samples =
        points.stream()
            .filter(p -> !p.samples().isEmpty())
            .map(p -> new Sample(p.n(), p.forkMedians()))
            .toList();
    return samples.isEmpty() ? Optional.empty() : Optional.of(new Curve(label, samples));
  }

  /// Bytes over lengths, at least one byte so that logarithms exist; nothing where the metric is
  /// absent at every length.
  ///
  /// @param metric a metric in bytes
  public Optional<Curve> bytes(Metric metric) {
    List<Sample> samples =
        points.stream()
            .filter(p -> !Double.isNaN(metric.of(p)))
            .map(p -> new Sample(p.n(), List.of(Math.max(1, metric.of(p)))))
            .toList();
    return samples.isEmpty() ? Optional.empty() : Optional.of(new Curve(label, samples));
  }

  /// The point at a length.
  public Optional<Point> at(int n) {
    return points.stream().filter(p -> p.n() == n).findFirst();
  }
}
