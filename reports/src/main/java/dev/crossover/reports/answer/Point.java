// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.GradientNorms;
import dev.crossover.bench.result.SampleStatistics;
import java.util.ArrayList;
import java.util.List;
import java.util.function.ToDoubleFunction;
import org.jspecify.annotations.Nullable;

/// One mechanism at one length: its measured records, one per seed, seen as one.
///
/// @param n sequence length; context length when decoding
/// @param records measured records of one panel, mechanism and length, at least one
public record Point(int n, List<ResultRecord> records) {
  /// Copies the records.
  public Point {
    records = List.copyOf(records);
    if (records.isEmpty()) {
      throw new IllegalArgumentException("records must hold at least one record, but was empty");
    }
  }

  /// The first record, for what all of them share.
  public ResultRecord first() {
    return records.getFirst();
  }

  /// Seconds, one list per fork of every seed; forks without a usable sample are left out.
  public List<List<Double>> samples() {
    List<List<Double>> all = new ArrayList<>();
    for (ResultRecord record : records) {
      if (record.time() != null && record.time().samples() != null) {
        for (List<Double> fork : record.time().samples()) {
          List<Double> usable =
              fork.stream().filter(s -> s != null && s > 0 && Double.isFinite(s)).toList();
          if (!usable.isEmpty()) {
            all.add(usable);
          }
        }
      }
    }
    return all;
  }

  /// Median seconds of each fork.
  public List<Double> forkMedians() {
    return samples().stream()
        .map(fork -> Statistics.median(fork.stream().mapToDouble(Double::doubleValue).toArray()))
        .toList();
  }

  /// Time with its interval, from the samples; nothing when no fork was timed.
  public @Nullable SampleStatistics time() {
    List<List<Double>> samples = samples();
    return samples.isEmpty() ? null : SampleStatistics.of(samples);
  }

  /// Median seconds; NaN when no fork was timed.
  public double seconds() {
    SampleStatistics time = time();
    return time == null ? Double.NaN : time.median();
  }

  /// Lower end of the interval of [#seconds]; NaN with a single fork.
  public double secondsLow() {
    SampleStatistics time = time();
    return time == null ? Double.NaN : time.low();
  }

  /// Upper end, like [#secondsLow].
  public double secondsHigh() {
    SampleStatistics time = time();
    return time == null ? Double.NaN : time.high();
  }

  /// A quantile of the samples of all forks by nearest rank, seconds; NaN when no fork was timed.
  ///
  /// @param share share of the samples that are at most as long, above 0 to 1
  public double quantile(double share) {
    double[] all =
        samples().stream()
            .flatMap(List::stream)
            .mapToDouble(Double::doubleValue)
            .sorted()
            .toArray();
    return all.length == 0 ? Double.NaN : all[(int) Math.ceil(share * all.length) - 1];
  }

  /// Relative Frobenius error against exact attention, median over seeds; NaN when the mechanism
  /// approximates nothing or the error was not measured.
  public double error() {
    return middle(this::errorOf);
  }

  /// Smallest error over seeds, like [#error()].
  public double errorLow() {
    return records.stream().mapToDouble(this::errorOf).min().orElse(Double.NaN);
  }

  /// Largest error over seeds, like [#error()].
  public double errorHigh() {
    return records.stream().mapToDouble(this::errorOf).max().orElse(Double.NaN);
  }

  /// Relative Frobenius error of a gradient, median over seeds; NaN unless measured in training.
  public double gradientError(ToDoubleFunction<GradientNorms> which) {
    return middle(
        r ->
            Double.isNaN(errorOf(r)) || r.error() == null || r.error().gradients() == null
                ? Double.NaN
                : which.applyAsDouble(r.error().gradients()));
  }

  /// Counted bytes beyond inputs and output: scratch, parameters and, when decoding, state; in
  /// training also what is kept for the backward pass, but no gradients, which belong to the
  /// caller.
  public double countedBytes() {
    return middle(
        record ->
            record.memory() == null
                ? Double.NaN
                : record.memory().countedScratchBytes()
                    + record.memory().parameterBytes()
                    + orZero(record.memory().stateBytes())
                    + orZero(record.memory().keptBytes()));
  }

  private static long orZero(@Nullable Long bytes) {
    return bytes == null ? 0 : bytes;
  }

  /// Largest resident set of the process; NaN when not measured, or not of this point alone.
  public double residentBytes() {
    return middle(
        r ->
            r.memory() == null || r.memory().peakResidentBytes() == null || !alone(r)
                ? Double.NaN
                : r.memory().peakResidentBytes());
  }

  /// Whether every fork of a record measured nothing else.
  private static boolean alone(ResultRecord r) {
    return r.time() != null
        && r.time().conditions() != null
        && r.time().conditions().stream()
            .allMatch(fork -> fork.lengths() != null && fork.lengths() == 1);
  }

  /// Why a share of the peak would mean nothing here; empty when it means something.
  public String disturbance() {
    return records.stream()
        .map(ResultRecord::disturbance)
        .filter(reason -> !reason.isEmpty())
        .findFirst()
        .orElse("");
  }

  /// Counted floating-point operations; NaN when not counted.
  public double flops() {
    return middle(r -> r.counted() == null ? Double.NaN : r.counted().flops());
  }

  /// Counted bytes that cross the memory bus; NaN when not counted.
  public double bytesMoved() {
    return middle(r -> r.counted() == null ? Double.NaN : r.counted().bytesMoved());
  }

  /// Position under the machine's roof, which is unknown where the peak was disturbed; nothing
  /// without time or counted work.
  public @Nullable Roofline roofline() {
    double seconds = seconds();
    if (!(seconds > 0 && flops() > 0 && bytesMoved() > 0)) {
      return null;
    }
    double gflops =
        disturbance().isEmpty()
            ? middle(r -> r.peak() == null ? Double.NaN : r.peak().gflops())
            : Double.NaN;
    double bandwidth = middle(r -> r.peak() == null ? Double.NaN : r.peak().bandwidthGBs());
    return Roofline.of(flops(), bytesMoved(), seconds, gflops, bandwidth);
  }

  /// Median over seeds of the values that are present.
  double middle(ToDoubleFunction<ResultRecord> value) {
    double[] values = records.stream().mapToDouble(value).filter(v -> !Double.isNaN(v)).toArray();
    return values.length == 0 ? Double.NaN : Statistics.median(values);
  }

  private double errorOf(ResultRecord record) {
    return record.approximates() == Approximates.NONE || record.error() == null
        ? Double.NaN
        : record.error().relativeFrobenius();
  }
}
