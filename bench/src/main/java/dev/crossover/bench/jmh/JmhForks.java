// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.bench.result.NamedFiles;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord.Peak;
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
import java.util.function.Predicate;
import java.util.stream.Collectors;
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

/// Forks by JMH: each a fresh JVM with a fixed heap, one benchmark, one mechanism at one or more
/// lengths.
public final class JmhForks implements Forks {
  private static final Settings PEAK_SETTINGS = new Settings(3, 3, 100);
  private static final long PEAK_HEAP = 512L << 20;
  private static final int INTERRUPTED_BY_KEY = 130;
  private static final int TERMINATED = 143;

  private volatile boolean stopping;

  /// Prepares forks; while the JVM shuts down, a dying fork counts as interrupted.
  ///
  /// @throws IOException if there is no folder for temporary files, which forks need
  public JmhForks() throws IOException {
    NamedFiles.temporaryFolder();
    System.setProperty("jmh.ignoreLock", "true");
    Runtime.getRuntime().addShutdownHook(new Thread(this::stop));
  }

  @Override
  public Outcome run(Problem problem, Settings settings, Wish wish) {
    return run(List.of(problem), settings, List.of(wish)).getFirst();
  }

  /// One process for all lengths; if it dies, one for each, so that only the guilty length fails.
  @Override
  public List<Outcome> run(List<Problem> problems, Settings settings, List<Wish> wishes) {
    List<Outcome> together = runTogether(problems, settings, wishes);
    if (problems.size() > 1 && together.stream().allMatch(Died.class::isInstance)) {
      return Forks.super.run(problems, settings, wishes);
    }
    return together;
  }

  private List<Outcome> runTogether(List<Problem> problems, Settings settings, List<Wish> wishes) {
    Path file = temporaryFile();
    try {
      long heap = problems.stream().mapToLong(Problem::heapBytes).sum();
      List<String> flags = flags(heap);
      List<String> all = new ArrayList<>(flags);
      all.add("-D" + ForkReport.FILE_PROPERTY + "=" + file);
      all.add("-D" + ForkReport.ERROR_PROPERTY + "=" + flags(wishes, Wish::error));
      all.add("-D" + ForkReport.ROWS_PROPERTY + "=" + flags(wishes, Wish::rows));
      Point point = problems.getFirst().point();
      int lengths = problems.size();
      ChainedOptionsBuilder options =
          options(
              new Settings(
                  settings.warmups() * lengths,
                  settings.iterations() * lengths,
                  settings.iterationMillis()),
              all);
      options.include(
          JmhForks.class.getPackageName() + "." + point.study().kind().benchmark() + "\\.");
      parameters(options, point);
      options.param(
          "lengths",
          problems.stream()
              .map(problem -> Integer.toString(problem.point().n()))
              .collect(Collectors.joining("/")));
      CapturedOutput output = new CapturedOutput();
      Collection<RunResult> results = List.of();
      String thrown = "";
      try {
        results = new Runner(options.build(), output).run();
      } catch (RunnerException e) {
        thrown = String.valueOf(e.getMessage());
      }
      List<ForkReport.Content> contents = contents(file);
      List<Outcome> outcomes = new ArrayList<>();
      for (int i = 0; i < lengths; i++) {
        ForkReport.Content content =
            i < contents.size() ? contents.get(i) : new ForkReport.Content(null, null, null);
        if (results.isEmpty() || content.facts() == null) {
          outcomes.add(failure(content, output, thrown));
        } else {
          List<Double> own = content.samples();
          List<Double> samples =
              own != null ? own : everyNth(samples(results.iterator().next()), i, lengths);
          outcomes.add(new Measured(samples, content.facts().withFlags(String.join(" ", flags))));
        }
      }
      return outcomes;
    } finally {
      delete(file);
    }
  }

  private static String flags(List<Wish> wishes, Predicate<Wish> wanted) {
    return wishes.stream().map(wish -> wanted.test(wish) ? "1" : "0").collect(Collectors.joining());
  }

  /// The samples of one length: iterations take the lengths in turn.
  private static List<Double> everyNth(List<Double> samples, int first, int step) {
    List<Double> ours = new ArrayList<>();
    for (int i = first; i < samples.size(); i += step) {
      ours.add(samples.get(i));
    }
    return ours;
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

  private static List<ForkReport.Content> contents(Path file) {
    try {
      String text = Files.readString(file);
      if (!text.isEmpty()) {
        return RecordJson.read(text, ForkReport.Contents.class).lengths();
      }
    } catch (IOException | IllegalArgumentException e) {
      // a fork that died while writing has said nothing
    }
    return List.of();
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
