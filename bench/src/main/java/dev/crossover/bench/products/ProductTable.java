// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.products;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.peak.PeakMeter;
import dev.crossover.bench.peak.PeakShare;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Collection;
import java.util.List;
import java.util.Locale;
import java.util.Objects;
import org.openjdk.jmh.results.BenchmarkResult;
import org.openjdk.jmh.results.IterationResult;
import org.openjdk.jmh.results.RunResult;
import org.openjdk.jmh.runner.Runner;
import org.openjdk.jmh.runner.RunnerException;
import org.openjdk.jmh.runner.options.CommandLineOptionException;
import org.openjdk.jmh.runner.options.CommandLineOptions;
import org.openjdk.jmh.runner.options.OptionsBuilder;
import org.openjdk.jmh.util.Statistics;

/// Runs [ProductsBenchmark] and writes its table as Markdown.
///
/// Arguments: the file to write, then options of JMH.
public final class ProductTable {
  private ProductTable() {}

  /// Runs the benchmark.
  ///
  /// @param arguments see the class comment
  /// @throws IOException if the table cannot be written
  /// @throws RunnerException if the benchmark fails
  /// @throws CommandLineOptionException if JMH does not know an option
  public static void main(String[] arguments)
      throws IOException, RunnerException, CommandLineOptionException {
    if (arguments.length == 0) {
      throw new IllegalArgumentException("arguments must name the file to write, but were none");
    }
    String[] options = Arrays.copyOfRange(arguments, 1, arguments.length);
    Collection<RunResult> results =
        new Runner(
                new OptionsBuilder()
                    .parent(new CommandLineOptions(options))
                    .include(ProductsBenchmark.class.getName())
                    .shouldFailOnError(true)
                    .build())
            .run();
    Path file = Path.of(arguments[0]).toAbsolutePath();
    Files.createDirectories(file.getParent());
    Files.writeString(file, table(String.join(" ", options), results));
    System.out.println("written: " + file);
  }

  private static String table(String options, Collection<RunResult> results) {
    Machine machine = Machine.current();
    StringBuilder out = new StringBuilder();
    out.append(
        """
        # Products and elementwise passes

        Command: `mvn -Pproducts -Dproducts.args="FILE %s"`. One thread; medians of all iterations of all
        forks, and the smallest and largest. Products are `operation rows columns depth`: AB is A·B, ABt
        A·Bᵀ with its packing, AtB Aᵀ·B, lower A·B with A lower triangular and the flops of that half.
        Elementwise passes read and write %d floats, which fit the second-level cache; their rate is in
        10⁹ elements per second. %% is the share of the peak: a loop of fused multiply-adds on registers,
        run before every iteration. A share above 100 %%, or a peak that moved by more than 10 %% among a
        row's iterations, is no result; the row says why.

        %s, %d cores, %s, JDK %s, commit %s; kernels: %s.

        | operation | µs | rate | peak, GFLOP/s | %% of peak |
        |---|---|---|---|---|
        """
            .formatted(
                options.isEmpty() ? "" : options,
                (int) ProductsBenchmark.work("exp"),
                machine.cpu(),
                machine.cores(),
                machine.os(),
                machine.jdk(),
                Commit.current(),
                Kernels.get().description()));
    for (RunResult result : results) {
      out.append(row(result));
    }
    return out.toString();
  }

  private static String row(RunResult result) {
    Statistics times = result.getPrimaryResult().getStatistics();
    String operation = operation(result);
    double rate = rate(result, times.getPercentile(50));
    boolean elements = ProductsBenchmark.elementwise(operation);
    PeakRange peak = PeakMeter.range(peaks(result));
    return String.format(
        Locale.ROOT,
        "| %s | %.2f (%.2f–%.2f) | %.1f %s | %s | %s |%n",
        operation,
        times.getPercentile(50),
        times.getMin(),
        times.getMax(),
        rate,
        elements ? "10⁹/s" : "GFLOP/s",
        PeakShare.words(peak),
        elements ? "" : PeakShare.of(rate, peak));
  }

  private static List<Double> peaks(RunResult result) {
    List<Double> peaks = new ArrayList<>();
    for (BenchmarkResult fork : result.getBenchmarkResults()) {
      for (IterationResult iteration : fork.getIterationResults()) {
        peaks.add(
            Objects.requireNonNull(
                    iteration.getSecondaryResults().get(ProductsBenchmark.PeakBeside.RESULT))
                .getScore());
      }
    }
    return peaks;
  }

  private static String operation(RunResult result) {
    return result.getParams().getParam("operation");
  }

  /// Work per nanosecond.
  private static double rate(RunResult result, double microseconds) {
    return ProductsBenchmark.work(operation(result)) / microseconds * 1e-3;
  }
}
