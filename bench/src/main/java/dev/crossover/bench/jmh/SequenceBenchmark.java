// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
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
  private final Gauges gauges = Gauges.ofThisProcess();
  private final TimedLengths<Run> lengths = new TimedLengths<>(gauges, SequenceBenchmark::facts);

  private static final class Run extends TimedLengths.Run {
    private final SequenceCall call;
    private final Allocation allocation;

    Run(Problem problem, SequenceCall call, ForkReport report, Gauges gauges) {
      super(problem, report, gauges);
      this.call = call;
      allocation = new Allocation(gauges);
      report.beforeConstruction();
      call.build();
      report.beforeFirstCall();
      call.run();
      report.afterFirstCall();
    }

    @Override
    double threadNanos() {
      long begin = gauges.threadNanos();
      call.run();
      return gauges.threadNanos() - begin;
    }
  }

  /// What the records of this benchmark are of.
  abstract Study study();

  /// What a call is for a problem; its tensors are there, its plan is not built yet.
  abstract SequenceCall call(Problem problem) throws IOException;

  /// Loads the tensors, builds the plans, checks the answers and warms everything up.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    lengths.prepare(parameters.points(study()), this::prepared);
  }

  private Run prepared(Problem problem, ForkReport report) throws IOException {
    Run run = new Run(problem, call(problem), report, gauges);
    for (float[] answer : run.call.answers()) {
      AnswerCheck.finite(problem.point(), answer);
    }
    return run;
  }

  /// Takes the next length, looks at the peak, and starts counting what calls allocate.
  @Setup(Level.Iteration)
  public void beginIteration(IterationParams iteration) {
    Run run = lengths.next();
    if (run != null) {
      run.watch.begin(iteration);
      run.allocation.begin(iteration);
    }
  }

  /// Ends the count, before the harness allocates for itself.
  @TearDown(Level.Iteration)
  public void endIteration() {
    Run run = lengths.current();
    if (run != null) {
      run.allocation.end();
      run.watch.end();
    }
  }

  /// One call at the length whose turn it is.
  ///
  /// @return the call, so that nothing is optimised away; nothing for a refused length
  final @Nullable Object callOnce() {
    Run run = lengths.current();
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
    lengths.save();
  }

  private static ForkReport.Content facts(Run run, int position, Conditions conditions)
      throws IOException {
    return new ForkReport.Content(
        run.report.facts(
            run.call.scratchBytes(),
            run.call.parameterBytes(),
            null,
            run.call.keptBytes(),
            run.allocation.bytesPerCall(),
            ForkReport.wantsError(position) ? run.call.error() : null,
            ForkReport.wantsRows(position) ? run.problem.attentionRows() : null,
            conditions),
        null,
        null);
  }
}
