package dev.crossover.bench.jmh;

import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.TimeUnit;
import java.util.stream.IntStream;
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
/// Each iteration starts from a context of n minus a few tokens and times the last ones of n, as
/// many as [Problem#decodedTokens] says. Expected: constant for recurrent states, linear in n for a
/// key/value cache.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public class DecodeBenchmark {
  private final List<Length> lengths = new ArrayList<>();
  private int iterations;
  private int threads = 1;

  /// One context length: what a trial needs, made once, or the reason why it cannot run.
  private record Length(@Nullable Run run, ForkReport.@Nullable Content refusal) {}

  private record Run(
      Tensors prefix,
      List<Tensors> tokens,
      Tensor output,
      DecodeSession session,
      ForkReport report,
      Allocation allocation) {

    /// Goes back to the context before the timed tokens.
    void rewind() {
      session.reset();
      if (prefix.tensor(0).size() > 0) {
        session.prefill(prefix);
      }
    }

    void decode() {
      for (int t = 0; t < tokens.size(); t++) {
        session.step(tokens.get(t), output);
      }
    }
  }

  /// Loads the tensors, cuts out the last tokens, opens the sessions and warms them up.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    for (Point point : parameters.points(Study.DECODE)) {
      threads = point.threads();
      lengths.add(prepared(point));
    }
    List<Run> runs = lengths.stream().map(Length::run).filter(Objects::nonNull).toList();
    if (runs.isEmpty()) {
      saveFacts();
      throw new IllegalArgumentException("every length was refused");
    }
    Warmup.untilCompiled(() -> decodeAgain(runs.getFirst()));
    for (Run run : runs) {
      Warmup.untilSteady(() -> decodeAgain(run));
    }
  }

  private static void decodeAgain(Run run) {
    run.rewind();
    run.decode();
  }

  private static Length prepared(Point point) throws IOException {
    ForkReport report = new ForkReport();
    try {
      Problem problem = Problem.of(point);
      if (!problem.refusal().isEmpty()) {
        throw new UnsupportedOperationException(problem.refusal());
      }
      TokenSlices slices = new TokenSlices(problem.attention(), problem.shape(), problem.load());
      int n = point.n();
      int first = n - problem.decodedTokens();
      Tensors prefix = slices.range(0, first);
      List<Tensors> tokens =
          IntStream.range(first, n).mapToObj(t -> slices.range(t, t + 1)).toList();
      Tensor output =
          Tensor.zeros(problem.attention().outputShape(problem.shape().withSeqLens(1, 1)));
      report.markBaseline();
      DecodeSession session = problem.attention().decode(problem.shape(), point.threads());
      Run run = new Run(prefix, tokens, output, session, report, new Allocation());
      run.rewind();
      run.decode();
      report.markPeak();
      return new Length(run, null);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return new Length(null, ForkReport.refusal(e));
    }
  }

  /// Takes the next length, goes back to its context, then starts counting what tokens allocate.
  @Setup(Level.Iteration)
  public void beginIteration(IterationParams iteration) {
    iterations++;
    Run run = current();
    if (run != null) {
      run.rewind();
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

  /// The last tokens of the context, one after the other.
  ///
  /// @return the last output; nothing for a refused length
  @Benchmark
  public @Nullable Tensor decode() {
    Run run = current();
    if (run == null) {
      return null;
    }
    run.decode();
    run.allocation.count();
    return run.output;
  }

  /// Reports the states' sizes at their context lengths.
  @TearDown(Level.Trial)
  public void report() {
    saveFacts();
  }

  private @Nullable Run current() {
    return lengths.get((iterations - 1) % lengths.size()).run;
  }

  private void saveFacts() {
    Conditions conditions = ForkReport.conditions(threads);
    List<ForkReport.Content> contents = new ArrayList<>();
    for (Length length : lengths) {
      Run run = length.run;
      contents.add(run == null ? Objects.requireNonNull(length.refusal) : facts(run, conditions));
    }
    ForkReport.save(contents);
  }

  private static ForkReport.Content facts(Run run, Conditions conditions) {
    return run.report.facts(
        0, 0, run.session.stateBytes(), run.allocation.bytesPerCall(), null, null, conditions);
  }
}
