package dev.crossover.bench.jmh;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorStudy;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
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
/// Expected: proportional to the counted work, at a share of the machine's peak that depends on the
/// mechanism, and without allocation.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.AverageTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public class ForwardBenchmark {
  private final Allocation allocation = new Allocation();
  private @Nullable Run run;

  /// Everything one trial needs, made once.
  private record Run(
      Problem problem, Tensors inputs, Tensor output, AttentionPlan plan, ForkReport report) {}

  /// Loads the tensors and builds the plan.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    ForkReport report = new ForkReport();
    try {
      Problem problem = Problem.of(parameters.point(Study.FORWARD));
      Tensors inputs = problem.load();
      Tensor output = problem.newOutput();
      report.markBaseline();
      AttentionPlan plan =
          problem.attention().plan(problem.shape(), problem.mask(), problem.point().threads());
      run = new Run(problem, inputs, output, plan, report);
      plan.forward(inputs, output);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      report.refuse(e);
      throw e;
    }
  }

  /// Starts counting what calls allocate.
  @Setup(Level.Iteration)
  public void beginIteration(IterationParams iteration) {
    allocation.begin(iteration);
  }

  /// Ends the count, before the harness allocates for itself.
  @TearDown(Level.Iteration)
  public void endIteration() {
    allocation.end();
  }

  /// One forward pass.
  ///
  /// @return the output, so that nothing is optimised away
  @Benchmark
  public Tensor forward() {
    Run current = running();
    current.plan.forward(current.inputs, current.output);
    allocation.count();
    return current.output;
  }

  /// Reports memory and, if asked, error and the input's attention rows.
  @TearDown(Level.Trial)
  public void report() throws IOException {
    Run current = running();
    current.report.markPeak();
    ErrorNorms error = current.report.wantsError() ? error(current) : null;
    AttentionRows rows = current.report.wantsRows() ? rows(current.problem) : null;
    current.report.write(
        current.plan.scratchBytes(),
        current.plan.parameterBytes(),
        null,
        allocation.bytesPerCall(),
        error,
        rows);
  }

  private Run running() {
    Run current = run;
    if (current == null) {
      throw new IllegalStateException("the benchmark has not been set up");
    }
    return current;
  }

  private static @Nullable ErrorNorms error(Run run) {
    Problem problem = run.problem;
    if (problem.type().mechanism().approximates() == Approximates.NONE) {
      return null;
    }
    ExactTarget target =
        problem.attention().exactTarget(problem.shape(), problem.mask(), run.inputs);
    int threads = problem.point().threads();
    Tensor exact = ErrorStudy.exact(target, threads);
    return run.output.hasShape(exact.shape()) ? ErrorStudy.compare(run.output, exact) : null;
  }

  private static AttentionRows rows(Problem problem) throws IOException {
    Tensors qkv = problem.input().load(problem.shape(), problem.point().seed());
    return AttentionRows.of(new Tiled().exactTarget(problem.shape(), problem.mask(), qkv));
  }
}
