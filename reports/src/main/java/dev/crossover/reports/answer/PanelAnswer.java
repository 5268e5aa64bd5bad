// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.ToDoubleFunction;

/// Everything a panel says: exponents and crossovers of each series, fronts at each length, noise.
///
/// @param panel the records
/// @param series one answer per series, in the panel's order
/// @param noise spread between forks of the whole panel
/// @param disturbances load and clock beside the forks
public record PanelAnswer(
    Panel panel, List<SeriesAnswer> series, Noise noise, Disturbances disturbances) {

  /// Names of the exact baselines crossovers are stated against, the optimised one first.
  public static final List<String> BASELINES = List.of("tiled", "materialised");

  /// Seed of every bootstrap in a report.
  public static final long SEED = 20_260_101L;

  /// Copies the list.
  public PanelAnswer {
    series = List.copyOf(series);
  }

  /// What one series says.
  ///
  /// @param series its points
  /// @param timeFit growth of time
  /// @param memoryFit growth of counted bytes (state bytes when decoding)
  /// @param theory theoretical exponent of time; NaN for a mechanism the catalogue does not know,
  ///     and when decoding
  /// @param time crossover in time by baseline; the baseline itself and absent baselines are left
  ///     out
  /// @param memory crossover in counted bytes by baseline
  public record SeriesAnswer(
      Series series,
      Optional<ScalingFit> timeFit,
      Optional<ScalingFit> memoryFit,
      double theory,
      Map<String, Crossover> time,
      Map<String, Crossover> memory) {

    /// The crossover in time against a baseline that [#time] holds.
    ///
    /// @throws NullPointerException naming a baseline that it does not hold
    public Crossover timeAgainst(String baseline) {
      return Objects.requireNonNull(time.get(baseline), baseline);
    }

    /// Smallest and largest error over the lengths from a given one on; empty when none was
    /// measured.
    public Optional<double[]> errorFrom(double n) {
      double[] errors =
          series.points().stream()
              .filter(p -> p.n() >= n)
              .mapToDouble(Point::error)
              .filter(e -> !Double.isNaN(e))
              .sorted()
              .toArray();
      return errors.length == 0
          ? Optional.empty()
          : Optional.of(new double[] {errors[0], errors[errors.length - 1]});
    }
  }

  /// Answers a panel.
  public static PanelAnswer of(Panel panel) {
    List<SeriesAnswer> answers = new ArrayList<>();
    for (Series series : panel.series()) {
      answers.add(answer(panel, series));
    }
    List<Curve> curves =
        panel.series().stream().map(Series::time).flatMap(Optional::stream).toList();
    return new PanelAnswer(panel, answers, Noise.of(curves), Disturbances.of(panel));
  }

  private static SeriesAnswer answer(Panel panel, Series series) {
    Map<String, Crossover> time = new LinkedHashMap<>();
    Map<String, Crossover> memory = new LinkedHashMap<>();
    Optional<Curve> bytes = bytes(panel, series);
    for (String name : BASELINES) {
      Optional<Series> baseline = panel.baseline(name);
      if (baseline.isEmpty() || series.mechanism().equals(name)) {
        continue;
      }
      Optional<Curve> baselineTime = baseline.get().time();
      if (series.time().isPresent() && baselineTime.isPresent()) {
        time.put(name, Crossover.of(series.time().get(), baselineTime.get()));
      }
      Optional<Curve> baselineBytes = bytes(panel, baseline.get());
      if (bytes.isPresent() && baselineBytes.isPresent()) {
        memory.put(name, Crossover.counted(bytes.get(), baselineBytes.get()));
      }
    }
    return new SeriesAnswer(
        series,
        series.time().flatMap(ScalingFit::of),
        bytes.flatMap(ScalingFit::counted),
        panel.decoding()
            ? Double.NaN
            : Labels.find(series.mechanism()).map(t -> t.mechanism().exponent()).orElse(Double.NaN),
        time,
        memory);
  }

  private static Optional<Curve> bytes(Panel panel, Series series) {
    return series.bytes(panel.view().memory());
  }

  /// Series that no other beats in both error and cost at a length; those without an error never
  /// appear.
  ///
  /// @param n the length
  /// @param cost seconds or bytes of a point
  public List<Series> front(int n, ToDoubleFunction<Point> cost) {
    List<Series> there =
        panel.series().stream()
            .filter(s -> s.at(n).isPresent() && cost.applyAsDouble(s.at(n).get()) > 0)
            .toList();
    return Pareto.front(
        there, s -> cost.applyAsDouble(s.at(n).orElseThrow()), s -> s.at(n).orElseThrow().error());
  }

  /// Measured peak of the panel in GFLOP/s: median over its records; NaN when not measured.
  public double peakGflops() {
    return medianPeak(ResultRecord.Peak::gflops);
  }

  /// Measured bandwidth of the panel in GB/s: median over its records; NaN when not measured.
  public double bandwidth() {
    return medianPeak(ResultRecord.Peak::bandwidthGBs);
  }

  private double medianPeak(ToDoubleFunction<ResultRecord.Peak> part) {
    double[] values =
        panel.series().stream()
            .flatMap(s -> s.points().stream())
            .flatMap(p -> p.records().stream())
            .map(ResultRecord::peak)
            .filter(Objects::nonNull)
            .mapToDouble(part)
            .filter(v -> v > 0)
            .toArray();
    return values.length == 0 ? Double.NaN : Statistics.median(values);
  }
}
