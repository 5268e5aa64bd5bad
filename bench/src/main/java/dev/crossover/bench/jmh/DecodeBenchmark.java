package dev.crossover.bench.jmh;

import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.List;
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

/// How long does one token take at context length n?
///
/// Each iteration starts from a context of n minus a few tokens and times the last [#TOKENS] of n,
/// or all of them where n is smaller. Expected: constant for recurrent states, linear in n for a
/// key/value cache.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public class DecodeBenchmark {
  /// Tokens timed in one iteration.
  public static final int TOKENS = 32;

  private final Allocation allocation = new Allocation();
  private @Nullable Run run;

  /// Everything one trial needs, made once.
  private record Run(
      Problem problem,
      Tensors prefix,
      List<Tensors> tokens,
      Tensor output,
      DecodeSession session,
      ForkReport report) {}

  /// Number of tokens one invocation decodes at context length n.
  public static int tokensAt(int n) {
    return Math.min(TOKENS, n);
  }

  /// Loads the tensors, cuts out the last tokens, and opens the session.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    ForkReport report = new ForkReport();
    try {
      Problem problem = Problem.of(parameters.point(Study.DECODE));
      if (!problem.refusal().isEmpty()) {
        throw new UnsupportedOperationException(problem.refusal());
      }
      TokenSlices slices = new TokenSlices(problem.attention(), problem.shape(), problem.load());
      int n = problem.point().n();
      int first = n - tokensAt(n);
      Tensors prefix = slices.range(0, first);
      List<Tensors> tokens =
          java.util.stream.IntStream.range(first, n).mapToObj(t -> slices.range(t, t + 1)).toList();
      Tensor output =
          Tensor.zeros(problem.attention().outputShape(problem.shape().withSeqLens(1, 1)));
      report.markBaseline();
      DecodeSession session =
          problem.attention().decode(problem.shape(), problem.point().threads());
      run = new Run(problem, prefix, tokens, output, session, report);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      report.refuse(e);
      throw e;
    }
  }

  /// Goes back to the context before the timed tokens, then starts counting what they allocate.
  @Setup(Level.Iteration)
  public void rewind(IterationParams iteration) {
    Run current = running();
    current.session.reset();
    if (current.problem.point().n() > current.tokens.size()) {
      current.session.prefill(current.prefix);
    }
    allocation.begin(iteration);
  }

  /// Ends the count, before the harness allocates for itself.
  @TearDown(Level.Iteration)
  public void endIteration() {
    allocation.end();
  }

  /// The last tokens of the context, one after the other.
  ///
  /// @return the last output
  @Benchmark
  public Tensor decode() {
    Run current = running();
    for (int t = 0; t < current.tokens.size(); t++) {
      current.session.step(current.tokens.get(t), current.output);
    }
    allocation.count();
    return current.output;
  }

  /// Reports the state's size at context length n.
  @TearDown(Level.Trial)
  public void report() {
    Run current = running();
    current.report.markPeak();
    current.report.write(0, 0, current.session.stateBytes(), allocation.bytesPerCall(), null, null);
  }

  private Run running() {
    Run current = run;
    if (current == null) {
      throw new IllegalStateException("the benchmark has not been set up");
    }
    return current;
  }
}
