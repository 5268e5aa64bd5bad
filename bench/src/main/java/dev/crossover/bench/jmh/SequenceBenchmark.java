// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.peak.PeakMeter;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.infra.IterationParams;

/// Times calls over whole sequences, once their plans exist; subclasses say what a call is.
///
/// One process measures one mechanism at several lengths: iterations take the lengths in turn.
/// The peak runs before each.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public abstract class SequenceBenchmark {
  private final List<Length> lengths = new ArrayList<>();
  private final Gauges gauges = Gauges.ofThisProcess();
  private @Nullable PeakMeter peak;
  private int iterations;
  private int threads = 1;

  /// One length: what a trial needs, made once, or the reason why it cannot run.
  private record Length(@Nullable Run run, ForkReport.@Nullable Content refusal) {}

  private static final class Run {
    private final Problem problem;
    private final SequenceCall call;
    private final ForkReport report;
    private final Allocation allocation;
    private final SampleWatch watch;
    private String unsteady = "";

    Run(Problem problem, SequenceCall call, ForkReport report, Gauges gauges) {
      this.problem = problem;
      this.call = call;
      this.report = report;
      allocation = new Allocation(gauges);
      watch = new SampleWatch(gauges);
      report.beforeConstruction();
      call.build();
      report.beforeFirstCall();
      call.run();
      report.afterFirstCall();
    }
  }

  /// What the records of this benchmark are of.
  abstract Study study();

  /// What a call is for a problem; its tensors are there, its plan is not built yet.
  abstract SequenceCall call(Problem problem) throws IOException;

  /// Loads the tensors, builds the plans, checks the answers and warms everything up.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    List<Point> points = parameters.points(study());
    for (Point point : points) {
      threads = point.threads();
      lengths.add(prepared(point, points.size() == 1));
    }
    List<Run> runs = lengths.stream().map(Length::run).filter(Objects::nonNull).toList();
    if (runs.isEmpty()) {
      saveFacts();
      throw new IllegalArgumentException("every length was refused");
    }
    AnswerCheck.of(runs.getFirst().problem);
    peak = new PeakMeter(threads);
    Steadiness steadiness = new Steadiness(gauges);
    long least = Steadiness.FIRST_NANOS;
    for (Run run : runs) {
      run.unsteady = steadiness.warmUp(() -> callNanos(run), least);
      least = 0;
    }
  }

  private double callNanos(Run run) {
    long begin = gauges.threadNanos();
    run.call.run();
    return gauges.threadNanos() - begin;
  }

  private Length prepared(Point point, boolean alone) throws IOException {
    try {
      Problem problem = Problem.of(point);
      Run run = new Run(problem, call(problem), new ForkReport(gauges, alone), gauges);
      for (float[] answer : run.call.answers()) {
        AnswerCheck.finite(point, answer);
      }
      return new Length(run, null);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return new Length(null, ForkReport.refusal(e));
    }
  }

  /// Takes the next length, looks at the peak, and starts counting what calls allocate.
  @Setup(Level.Iteration)
  public void beginIteration(IterationParams iteration) {
    iterations++;
    Run run = current();
    if (run != null) {
      Objects.requireNonNull(peak).sample();
      run.watch.begin(iteration);
      run.allocation.begin(iteration);
    }
  }

  /// Ends the count, before the harness allocates for itself.
  @TearDown(Level.Iteration)
  public void endIteration() {
    Run run = current();
    if (run != null) {
      run.allocation.end();
      run.watch.end();
    }
  }

  /// One call at the length whose turn it is.
  ///
  /// @return the call, so that nothing is optimised away; nothing for a refused length
  final @Nullable Object callOnce() {
    Run run = current();
    if (run == null) {
      return null;
    }
    run.call.run();
    run.allocation.count();
    return run.call;
  }

  /// Reports memory and, if asked, error and the input's attention rows.
  @TearDown(Level.Trial)
  public void report() throws IOException {
    saveFacts();
  }

  private @Nullable Run current() {
    return lengths.get((iterations - 1) % lengths.size()).run;
  }

  private void saveFacts() throws IOException {
    Conditions conditions =
        ForkReport.conditions(threads, lengths.size(), peak == null ? null : peak.range());
    List<ForkReport.Content> contents = new ArrayList<>();
    for (int i = 0; i < lengths.size(); i++) {
      Run run = lengths.get(i).run;
      contents.add(
          run == null ? Objects.requireNonNull(lengths.get(i).refusal) : facts(run, i, conditions));
    }
    ForkReport.save(contents);
  }

  private static ForkReport.Content facts(Run run, int position, Conditions ofFork)
      throws IOException {
    String unsteady = run.unsteady.isEmpty() ? run.watch.verdict() : run.unsteady;
    return new ForkReport.Content(
        run.report.facts(
            run.call.scratchBytes(),
            run.call.parameterBytes(),
            null,
            run.call.keptBytes(),
            run.allocation.bytesPerCall(),
            ForkReport.wantsError(position) ? run.call.error() : null,
            ForkReport.wantsRows(position) ? run.problem.attentionRows() : null,
            ForkReport.conditions(ofFork, unsteady)),
        null,
        null);
  }
}
