package dev.crossover.bench.jmh;

import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord.Peak;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Forks;
import dev.crossover.bench.sweep.Point;
import dev.crossover.bench.sweep.Problem;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.lang.management.ManagementFactory;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.ChainedOptionsBuilder;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.runner.options.TimeValue;

/// Forks by JMH: each a fresh JVM with a fixed heap, one benchmark, one point.
public final class JmhForks implements Forks {
  private static final Settings PEAK_SETTINGS = new Settings(3, 3, 100);
  private static final long PEAK_HEAP = 512L << 20;
  private static final int INTERRUPTED_BY_KEY = 130;
  private static final int TERMINATED = 143;

  private volatile boolean stopping;

  /// Prepares forks; while the JVM shuts down, a dying fork counts as interrupted.
  public JmhForks() {
    System.setProperty("jmh.ignoreLock", "true");
    Runtime.getRuntime().addShutdownHook(new Thread(this::stop));
  }

  @Override
  public Outcome run(Problem problem, Settings settings, Wish wish) {
    Path file = temporaryFile();
    try {
      List<String> flags = flags(problem.heapBytes());
      List<String> all = new ArrayList<>(flags);
      all.add("-D" + ForkReport.FILE_PROPERTY + "=" + file);
      all.add("-D" + ForkReport.ERROR_PROPERTY + "=" + wish.error());
      all.add("-D" + ForkReport.ROWS_PROPERTY + "=" + wish.rows());
      boolean decode = problem.point().study() == Study.DECODE;
      ChainedOptionsBuilder options = options(settings, all);
      options.include((decode ? DecodeBenchmark.class : ForwardBenchmark.class).getName() + "\\.");
      parameters(options, problem.point());
      CapturedOutput output = new CapturedOutput();
      Collection<RunResult> results = List.of();
      String thrown = "";
      try {
        results = new Runner(options.build(), output).run();
      } catch (RunnerException e) {
        thrown = String.valueOf(e.getMessage());
      }
      ForkReport.Content content = content(file);
      if (results.isEmpty() || content.facts() == null) {
        return failure(content, output, thrown);
      }
      int calls = decode ? DecodeBenchmark.tokensAt(problem.point().n()) : 1;
      return measured(results.iterator().next(), calls, content.facts(), flags);
    } finally {
      delete(file);
    }
  }

  @Override
  public @Nullable Peak peak(int threads) {
    ChainedOptionsBuilder options = options(PEAK_SETTINGS, flags(PEAK_HEAP));
    options.include(PeakBenchmark.class.getName() + "\\.");
    options.threads(threads);
    options.param("readers", Integer.toString(threads));
    try {
      double gflops = 0;
      double bandwidth = 0;
      for (RunResult result : new Runner(options.build(), new CapturedOutput()).run()) {
        double best = samples(result).stream().mapToDouble(Double::doubleValue).min().orElse(0);
        if (result.getParams().getBenchmark().endsWith("multiplyAdd")) {
          gflops = threads * PeakBenchmark.flops() / best / 1e9;
        } else {
          bandwidth = threads * (double) PeakBenchmark.bytesPerThread(threads) / best / 1e9;
        }
      }
      return gflops > 0 && bandwidth > 0 ? new Peak(gflops, bandwidth) : null;
    } catch (RunnerException e) {
      return null;
    }
  }

  private void stop() {
    stopping = true;
    ProcessHandle.current().children().forEach(ProcessHandle::destroyForcibly);
  }

  private Outcome failure(ForkReport.Content content, CapturedOutput output, String thrown) {
    String text = output.text();
    if (stopping
        || text.contains("exit code " + INTERRUPTED_BY_KEY)
        || text.contains("exit code " + TERMINATED)) {
      return new Interrupted();
    }
    if (content.refusal() != null) {
      return new Refused(content.refusal());
    }
    String reason = output.reason();
    return new Died(
        thrown.isEmpty() || !text.isBlank() ? reason : thrown.lines().findFirst().orElse(reason));
  }

  private static Outcome measured(
      RunResult result, int callsPerSample, Facts facts, List<String> flags) {
    List<Double> samples =
        samples(result).stream().map(seconds -> seconds / callsPerSample).toList();
    return new Measured(
        samples,
        new Facts(
            facts.countedScratchBytes(),
            facts.parameterBytes(),
            facts.stateBytes(),
            facts.allocatedBytesPerCall() == null
                ? null
                : facts.allocatedBytesPerCall() / callsPerSample,
            facts.baselineResidentBytes(),
            facts.peakResidentBytes(),
            facts.error(),
            facts.rows(),
            facts.kernels(),
            String.join(" ", flags)));
  }

  private static List<Double> samples(RunResult result) {
    List<Double> samples = new ArrayList<>();
    for (BenchmarkResult fork : result.getBenchmarkResults()) {
      for (IterationResult iteration : fork.getIterationResults()) {
        samples.add(iteration.getPrimaryResult().getScore());
      }
    }
    return samples;
  }

  private static ChainedOptionsBuilder options(Settings settings, List<String> flags) {
    TimeValue length = TimeValue.milliseconds(settings.iterationMillis());
    return new OptionsBuilder()
        .forks(1)
        .warmupForks(0)
        .warmupIterations(settings.warmups())
        .warmupTime(length)
        .measurementIterations(settings.iterations())
        .measurementTime(length)
        .syncIterations(false)
        .shouldFailOnError(true)
        .jvmArgs(flags.toArray(String[]::new));
  }

  private static void parameters(ChainedOptionsBuilder options, Point point) {
    options
        .param("spec", point.spec())
        .param("n", Integer.toString(point.n()))
        .param("dim", Integer.toString(point.dim()))
        .param("heads", Integer.toString(point.heads()))
        .param("batch", Integer.toString(point.batch()))
        .param("mask", point.mask())
        .param("planThreads", Integer.toString(point.threads()))
        .param("input", point.input())
        .param("seed", Long.toString(point.seed()));
  }

  /// Flags of a fork: those of this JVM that decide about speed, a fixed heap, and the quietest
  /// collector.
  private static List<String> flags(long heapBytes) {
    Stream<String> inherited =
        ManagementFactory.getRuntimeMXBean().getInputArguments().stream()
            .filter(flag -> flag.startsWith("-XX:") || flag.startsWith("-Dcrossover."))
            .filter(flag -> !flag.startsWith("-XX:+Use") && !flag.contains("HeapSize"))
            .filter(flag -> !flag.startsWith("-Dcrossover.launched"));
    long megabytes = Math.ceilDiv(heapBytes, 1 << 20);
    return Stream.concat(
            Stream.of(
                "--add-modules=jdk.incubator.vector", "--sun-misc-unsafe-memory-access=allow"),
            Stream.concat(
                inherited,
                Stream.of(
                    "-Xms" + megabytes + "m",
                    "-Xmx" + megabytes + "m",
                    "-Xmn48m",
                    "-XX:+UseSerialGC",
                    "-XX:-UsePerfData",
                    "-XX:+ExitOnOutOfMemoryError")))
        .toList();
  }

  private static ForkReport.Content content(Path file) {
    try {
      String text = Files.readString(file);
      if (!text.isEmpty()) {
        return RecordJson.read(text, ForkReport.Content.class);
      }
    } catch (IOException | IllegalArgumentException e) {
      // a fork that died while writing has said nothing
    }
    return new ForkReport.Content(null, null);
  }

  private static Path temporaryFile() {
    try {
      return Files.createTempFile("crossover-fork", ".json");
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }

  private static void delete(Path file) {
    try {
      Files.deleteIfExists(file);
    } catch (IOException e) {
      // a forgotten temporary file does no harm
    }
  }
}
