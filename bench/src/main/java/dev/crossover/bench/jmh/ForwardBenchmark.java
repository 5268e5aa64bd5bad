package dev.crossover.bench.jmh;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.annotations.Benchmark;
import org.openjdk.jmh.annotations.BenchmarkMode;
import org.openjdk.jmh.annotations.Level;
import org.openjdk.jmh.annotations.Mode;
import org.openjdk.jmh.annotations.OutputTimeUnit;
import org.openjdk.jmh.annotations.Scope;
import org.openjdk.jmh.annotations.Setup;
import org.openjdk.jmh.annotations.State;
import org.openjdk.jmh.annotations.TearDown;
import org.openjdk.jmh.infra.IterationParams;

/// How long does one forward pass take, once its plan exists?
///
/// One process measures one mechanism at several lengths: iterations take the lengths in turn.
/// Expected: time proportional to the counted work, at a share of the machine's peak that depends
/// on the mechanism, and no allocation.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public class ForwardBenchmark {
  private final List<Length> lengths = new ArrayList<>();
  private int iterations;
  private int threads = 1;

  /// One length: what a trial needs, made once, or the reason why it cannot run.
  private record Length(@Nullable Run run, ForkReport.@Nullable Content refusal) {}

  private record Run(
      Problem problem,
      Tensors inputs,
      Tensor output,
      AttentionPlan plan,
      ForkReport report,
      Allocation allocation) {

    void forward() {
      plan.forward(inputs, output);
    }
  }

  /// Loads the tensors, builds the plans, shortest first, and warms them up.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    for (Point point : parameters.points(Study.FORWARD)) {
      threads = point.threads();
      lengths.add(prepared(point));
    }
    List<Run> runs = lengths.stream().map(Length::run).filter(Objects::nonNull).toList();
    if (runs.isEmpty()) {
      saveFacts();
      throw new IllegalArgumentException("every length was refused");
    }
    Warmup.untilCompiled(runs.getFirst()::forward);
    for (Run run : runs) {
      Warmup.untilSteady(run::forward);
    }
  }

  private static Length prepared(Point point) throws IOException {
    ForkReport report = new ForkReport();
    try {
      Problem problem = Problem.of(point);
      Tensors inputs = problem.load();
      Tensor output = problem.newOutput();
      report.markBaseline();
      AttentionPlan plan =
          problem.attention().plan(problem.shape(), problem.mask(), point.threads());
      Run run = new Run(problem, inputs, output, plan, report, new Allocation());
      run.forward();
      report.markPeak();
      return new Length(run, null);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return new Length(null, ForkReport.refusal(e));
    }
  }

  /// Takes the next length and starts counting what calls allocate.
  @Setup(Level.Iteration)
  public void beginIteration(IterationParams iteration) {
    iterations++;
    Run run = current();
    if (run != null) {
      run.allocation.begin(iteration);
    }
  }

  /// Ends the count, before the harness allocates for itself.
  @TearDown(Level.Iteration)
  public void endIteration() {
    Run run = current();
    if (run != null) {
      run.allocation.end();
    }
  }

  /// One forward pass.
  ///
  /// @return the output, so that nothing is optimised away; nothing for a refused length
  @Benchmark
  public @Nullable Tensor forward() {
    Run run = current();
    if (run == null) {
      return null;
    }
    run.forward();
    run.allocation.count();
    return run.output;
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
    Conditions conditions = ForkReport.conditions(threads);
    List<ForkReport.Content> contents = new ArrayList<>();
    for (int i = 0; i < lengths.size(); i++) {
      Run run = lengths.get(i).run;
      contents.add(
          run == null ? Objects.requireNonNull(lengths.get(i).refusal) : facts(run, i, conditions));
    }
    ForkReport.save(contents);
  }

  private static ForkReport.Content facts(Run run, int position, Conditions conditions)
      throws IOException {
    return run.report.facts(
        run.plan.scratchBytes(),
        run.plan.parameterBytes(),
        null,
        run.allocation.bytesPerCall(),
        ForkReport.wantsError(position) ? error(run) : null,
        ForkReport.wantsRows(position) ? run.problem.attentionRows() : null,
        conditions);
  }

  private static @Nullable ErrorNorms error(Run run) {
    Problem problem = run.problem;
    if (problem.type().mechanism().approximates() == Approximates.NONE) {
      return null;
    }
    Tensor exact = problem.exactOutput(run.inputs);
    return run.output.hasShape(exact.shape())
        ? ErrorStudy.compare(perHead(run.output), perHead(exact))
        : null;
  }

  /// A layer's output `[batch, n, width]` as that of one wide head.
  private static Tensor perHead(Tensor output) {
    return output.rank() == 4
        ? output
        : Tensor.of(output.data(), output.extent(0), 1, output.extent(1), output.extent(2));
  }
}
