// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.TokenSlices;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.function.LongSupplier;
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
import org.openjdk.jmh.runner.IterationType;

/// How long does one token take at context length n?
///
/// A sample decodes the last tokens of the context, as many as [Problem#decodedTokens] says, again
/// and again until [#SAMPLE_NANOS] have passed. Between two such blocks the session goes back to
/// the context before them, which is not timed. A session whose state is as large after the block
/// as before goes on instead: how many tokens such a state has taken makes no difference to the
/// next. Expected: constant for recurrent states, linear in n for a key/value cache.
@State(Scope.Benchmark)
@BenchmarkMode(Mode.SingleShotTime)
@OutputTimeUnit(TimeUnit.SECONDS)
public class DecodeBenchmark {
  /// Least duration of a sample; a single block of a recurrent state takes less than 50 µs, which
  /// measures how it finds the caches.
  static final long SAMPLE_NANOS = 20_000_000;

  /// Tokens that a session of constant state may take beyond its context before it goes back.
  private static final int TOKENS_BEYOND = 4096;

  /// Blocks in which allocation is counted, after the samples.
  private static final int COUNTED_BLOCKS = 3;

  private final Gauges gauges = Gauges.ofThisProcess();
  private final TimedLengths<Run> lengths = new TimedLengths<>(gauges, DecodeBenchmark::facts);

  private static final class Run extends TimedLengths.Run {
    private final Tensors prefix;
    private final List<Tensors> tokens;
    private final Tensor output;
    private final List<Double> samples = new ArrayList<>();
    private final long stateBytes;
    private final int room;
    private final @Nullable ErrorNorms error;
    private DecodeSession session;

    Run(Problem problem, ForkReport report, Gauges gauges) throws IOException {
      super(problem, report, gauges);
      Tensors inputs = problem.load();
      TokenSlices slices = new TokenSlices(problem.attention(), problem.shape(), inputs);
      int n = problem.point().n();
      int first = n - problem.decodedTokens();
      prefix = slices.range(0, first);
      tokens = IntStream.range(first, n).mapToObj(t -> slices.range(t, t + 1)).toList();
      output = Tensor.zeros(problem.attention().outputShape(problem.shape().withSeqLens(1, 1)));
      report.beforeConstruction();
      session = problem.attention().decode(problem.shape(), problem.point().threads());
      report.beforeFirstCall();
      rewind();
      long before = session.stateBytes();
      decode();
      report.afterFirstCall();
      stateBytes = session.stateBytes();
      error = error(inputs, first);
      room = first > 0 && before == stateBytes ? goOn(n) : n;
    }

    /// Error of the last tokens, where decoding gives other outputs than the whole sequence.
    private @Nullable ErrorNorms error(Tensors inputs, int first) {
      if (!problem.hasDecodedError()) {
        return null;
      }
      Tensor whole = problem.newOutput();
      int n = problem.point().n();
      int width = whole.extent(3);
      rewind();
      for (int t = 0; t < tokens.size(); t++) {
        session.step(tokens.get(t), output);
        for (int head = 0; head < output.size() / width; head++) {
          int to = (head * n + first + t) * width;
          System.arraycopy(output.data(), head * width, whole.data(), to, width);
        }
      }
      int[] positions = IntStream.range(first, n).toArray();
      return problem.decodedError(inputs, whole, positions);
    }

    /// Takes a session with room for more tokens, where the mechanism has one.
    private int goOn(int n) {
      int more = Math.addExact(n, TOKENS_BEYOND);
      try {
        session =
            problem
                .attention()
                .decode(problem.shape().withSeqLens(more, more), problem.point().threads());
        rewind();
        return more;
      } catch (IllegalArgumentException | UnsupportedOperationException e) {
        return n;
      }
    }

    /// Goes back to the context before the timed tokens.
    void rewind() {
      session.reset();
      if (prefix.tensor(0).size() > 0) {
        session.prefill(prefix);
      }
    }

    void rewindUnlessRoom() {
      if (session.position() + tokens.size() > room) {
        rewind();
      }
    }

    void decode() {
      for (int t = 0; t < tokens.size(); t++) {
        session.step(tokens.get(t), output);
      }
    }

    @Override
    double threadNanos() {
      return nanosPerToken(gauges::threadNanos);
    }

    /// Blocks until enough time has passed on a clock; nanoseconds per token.
    double nanosPerToken(LongSupplier clock) {
      long nanos = 0;
      long taken = 0;
      do {
        rewindUnlessRoom();
        long begin = clock.getAsLong();
        decode();
        nanos += clock.getAsLong() - begin;
        taken += tokens.size();
      } while (nanos < SAMPLE_NANOS);
      return (double) nanos / taken;
    }

    /// Bytes that a token allocates.
    @Nullable Double allocatedPerToken() {
      long bytes = 0;
      for (int block = 0; block < COUNTED_BLOCKS; block++) {
        rewindUnlessRoom();
        long before = gauges.allocatedBytes();
        decode();
        bytes += gauges.allocatedBytes() - before;
        if (before < 0) {
          return null;
        }
      }
      return (double) bytes / ((long) COUNTED_BLOCKS * tokens.size());
    }
  }

  /// Loads the tensors, cuts out the last tokens, opens the sessions, checks their answers and
  /// warms everything up.
  @Setup(Level.Trial)
  public void prepare(BenchmarkPoint parameters) throws IOException {
    lengths.prepare(parameters.points(Study.DECODE), this::prepared);
  }

  private Run prepared(Problem problem, ForkReport report) throws IOException {
    if (!problem.refusal().isEmpty()) {
      throw new UnsupportedOperationException(problem.refusal());
    }
    Run run = new Run(problem, report, gauges);
    AnswerCheck.finite(problem.point(), run.output.data());
    return run;
  }

  /// Takes the next length and looks at the peak.
  @Setup(Level.Iteration)
  public void beginIteration() {
    lengths.next();
  }

  /// One sample.
  ///
  /// @return the last output; nothing for a refused length
  @Benchmark
  public @Nullable Tensor decode(IterationParams iteration) {
    Run run = lengths.current();
    if (run == null) {
      return null;
    }
    run.watch.begin(iteration);
    double seconds = run.nanosPerToken(System::nanoTime) * 1e-9;
    run.watch.end();
    if (iteration.getType() == IterationType.MEASUREMENT) {
      run.samples.add(seconds);
    }
    return run.output;
  }

  /// Reports the states' sizes at their context lengths.
  @TearDown(Level.Trial)
  public void report() throws IOException {
    lengths.save();
  }

  private static ForkReport.Content facts(Run run, int position, Conditions conditions) {
    return new ForkReport.Content(
        run.report.facts(
            0, 0, run.stateBytes, null, run.allocatedPerToken(), run.error, null, conditions),
        null,
        run.samples);
  }
}
