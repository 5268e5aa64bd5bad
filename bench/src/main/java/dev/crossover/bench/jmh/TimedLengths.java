// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.peak.PeakMeter;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// The lengths at which a process measures one mechanism: made ready once, taken in turn by the
/// iterations, reported together. The peak runs before each iteration.
///
/// @param <R> what a trial of one length needs
final class TimedLengths<R extends TimedLengths.Run> {
  private final List<Length<R>> lengths = new ArrayList<>();
  private final Gauges gauges;
  private final Facts<R> facts;
  private @Nullable PeakMeter peak;
  private int iterations;
  private int threads = 1;

  /// One length: what a trial needs, made once, or the reason why it cannot run.
  private record Length<R>(@Nullable R run, ForkReport.@Nullable Content refusal) {}

  /// What is timed at one length.
  abstract static class Run {
    final Problem problem;
    final ForkReport report;
    final Gauges gauges;
    final SampleWatch watch;
    private String unsteady = "";

    Run(Problem problem, ForkReport report, Gauges gauges) {
      this.problem = problem;
      this.report = report;
      this.gauges = gauges;
      watch = new SampleWatch(gauges);
    }

    /// Runs what is timed; nanoseconds of this thread, as [Steadiness] compares them.
    abstract double threadNanos();

    /// Why its samples are not those of steady code; empty when they are.
    final String unsteady() {
      return unsteady.isEmpty() ? watch.verdict() : unsteady;
    }
  }

  /// Makes a length ready.
  interface Preparation<R> {
    /// Loads the tensors, builds what is timed, and checks that its first answers are finite.
    ///
    /// @throws IllegalArgumentException if the mechanism refuses the problem, by name
    /// @throws UnsupportedOperationException likewise
    R of(Problem problem, ForkReport report) throws IOException;
  }

  /// Says what was learned.
  interface Facts<R> {
    /// The report of one length.
    ///
    /// @param position number of the length, from 0
    /// @param conditions of the process and the length's samples
    ForkReport.Content of(R run, int position, Conditions conditions) throws IOException;
  }

  TimedLengths(Gauges gauges, Facts<R> facts) {
    this.gauges = gauges;
    this.facts = facts;
  }

  /// Makes all lengths ready, checks the answers of the first and warms everything up.
  ///
  /// @throws IllegalArgumentException if every length was refused
  void prepare(List<Point> points, Preparation<R> preparation) throws IOException {
    for (Point point : points) {
      threads = point.threads();
      lengths.add(prepared(point, points.size() == 1, preparation));
    }
    List<R> runs = lengths.stream().map(Length::run).filter(Objects::nonNull).toList();
    if (runs.isEmpty()) {
      save();
      throw new IllegalArgumentException("every length was refused");
    }
    AnswerCheck.of(runs.getFirst().problem);
    peak = new PeakMeter(threads);
    Steadiness steadiness = new Steadiness(gauges);
    long least = Steadiness.FIRST_NANOS;
    for (R run : runs) {
      Run timed = run;
      timed.unsteady = steadiness.warmUp(timed::threadNanos, least);
      least = 0;
    }
  }

  private Length<R> prepared(Point point, boolean alone, Preparation<R> preparation)
      throws IOException {
    try {
      ForkReport report = new ForkReport(gauges, alone);
      return new Length<>(preparation.of(Problem.of(point), report), null);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return new Length<>(null, ForkReport.refusal(e));
    }
  }

  /// Takes the next length and looks at the peak.
  ///
  /// @return what is timed; nothing for a refused length
  @Nullable R next() {
    iterations++;
    R run = current();
    if (run != null) {
      Objects.requireNonNull(peak).sample();
    }
    return run;
  }

  /// The length whose turn it is; nothing for a refused one.
  @Nullable R current() {
    return lengths.get((iterations - 1) % lengths.size()).run;
  }

  /// Leaves the report of all lengths.
  void save() throws IOException {
    Conditions conditions =
        ForkReport.conditions(threads, lengths.size(), peak == null ? null : peak.range());
    List<ForkReport.Content> contents = new ArrayList<>();
    for (int i = 0; i < lengths.size(); i++) {
      R run = lengths.get(i).run;
      contents.add(
          run == null
              ? Objects.requireNonNull(lengths.get(i).refusal)
              : facts.of(run, i, ForkReport.conditions(conditions, run.unsteady())));
    }
    ForkReport.save(contents);
  }
}
