package dev.crossover.bench.peers;

import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.kernel.Kernels;
import dev.crossover.attention.kernel.PeakKernel;
import dev.crossover.bench.machine.Machine;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.concurrent.locks.LockSupport;

/// Times exact attention beside libtorch and ONNX Runtime: every round runs the peak kernel and
/// each contender once, so that all meet the same machine; every contender's output is checked
/// first.
///
/// Arguments: file to write, list of lengths, seconds per setting, and list of thread counts (1 and
/// all where absent). Lists have slashes between their items.
public final class PeerComparison {
  private static final int HEADS = 8;
  private static final int DIM = 64;
  private static final double WARM_UP_SECONDS = 1.5;
  private static final int MAX_ROUNDS = 2000;
  private static final int LONGEST_MATERIALISED = 4096;
  /// Pause before a run on several threads, so that no contender meets the spinning threads of
  /// another.
  private static final long PAUSE_NANOS = 20_000_000;

  private static final double TOLERANCE = 2e-5;

  private PeerComparison() {}

  /// Runs the comparison.
  ///
  /// @param arguments see the class comment
  /// @throws IOException if the table cannot be written
  public static void main(String[] arguments) throws IOException {
    StringBuilder table = new StringBuilder();
    Machine machine = Machine.current();
    table.append("# Exact attention beside native libraries\n\n");
    table.append(
        """
        One batch entry, %d heads, width %d, float32, Gaussian inputs.
        Command: `mvn -Ppeers -Dpeers.args="FILE %s"`.
        Each round runs the peak kernel and every contender once; medians, and in brackets the middle
        half. FLOPs are 4·d per visible pair; %% is the share of the peak kernel of the same rounds. Every
        output was compared with double precision before timing.

        %s, %d cores, %s, JDK %s; kernels: %s.

        """
            .formatted(
                HEADS,
                DIM,
                String.join(" ", List.of(arguments).subList(1, arguments.length)),
                machine.cpu(),
                machine.cores(),
                machine.os(),
                machine.jdk(),
                Kernels.get().description()));
    table.append("| threads | n | mask | contender | ms | GFLOP/s | % of peak | time / tiled |\n");
    table.append("|---|---|---|---|---|---|---|---|\n");
    double seconds = Double.parseDouble(arguments[2]);
    for (int threads : threads(arguments)) {
      for (String n : arguments[1].split("/")) {
        for (boolean causal : new boolean[] {false, true}) {
          String rows =
              compare(Problem.of(HEADS, Integer.parseInt(n), DIM, causal), threads, seconds);
          table.append(rows);
          System.out.print(rows);
        }
      }
    }
    Path file = Path.of(arguments[0]);
    Files.createDirectories(file.toAbsolutePath().getParent());
    Files.writeString(file, table);
    System.out.println("written: " + file);
    System.exit(0);
  }

  private static int[] threads(String[] arguments) {
    if (arguments.length > 3) {
      return Arrays.stream(arguments[3].split("/")).mapToInt(Integer::parseInt).toArray();
    }
    int all = Runtime.getRuntime().availableProcessors();
    return all == 1 ? new int[] {1} : new int[] {1, all};
  }

  private static String compare(Problem problem, int threads, double seconds) {
    PeakKernel peak = new PeakKernel(threads);
    List<Contender> contenders = new ArrayList<>();
    contenders.add(new OurContender(new Tiled(), problem, threads));
    if (problem.shape().querySeqLen() <= LONGEST_MATERIALISED) {
      contenders.add(new OurContender(new Materialised(), problem, threads));
    }
    contenders.add(new LibtorchContender(problem, threads));
    contenders.add(new OnnxContender(problem, threads));
    for (Contender contender : contenders) {
      contender.run();
      double error = problem.error(contender.output());
      if (!(error <= TOLERANCE)) {
        throw new IllegalStateException(
            contender.name() + " must agree with double precision, but errs by " + error);
      }
    }
    double[][] times = new double[contenders.size() + 1][MAX_ROUNDS];
    int rounds = 0;
    boolean warm = false;
    long start = System.nanoTime();
    while (rounds < 3 || rounds < MAX_ROUNDS && System.nanoTime() - start < seconds * 1e9) {
      if (!warm && System.nanoTime() - start > WARM_UP_SECONDS * 1e9) {
        warm = true;
        start = System.nanoTime();
      }
      for (int c = 0; c < times.length; c++) {
        LockSupport.parkNanos(threads == 1 ? 0 : PAUSE_NANOS);
        long begin = System.nanoTime();
        if (c < contenders.size()) {
          contenders.get(c).run();
        } else {
          peak.run();
        }
        if (warm) {
          times[c][rounds] = (System.nanoTime() - begin) * 1e-6;
        }
      }
      rounds += warm ? 1 : 0;
    }
    double peakRate = peak.flops() / quantile(times[contenders.size()], rounds, 0.5) * 1e-6;
    double tiled = quantile(times[0], rounds, 0.5);
    StringBuilder rows = new StringBuilder();
    for (int c = 0; c < contenders.size(); c++) {
      double ms = quantile(times[c], rounds, 0.5);
      double rate = problem.flops() / ms * 1e-6;
      rows.append(
          String.format(
              Locale.ROOT,
              "| %d | %d | %s | %s | %.2f (%.2f–%.2f) | %.0f | %.0f | %.2f |%n",
              threads,
              problem.shape().querySeqLen(),
              problem.causal() ? "causal" : "none",
              contenders.get(c).name(),
              ms,
              quantile(times[c], rounds, 0.25),
              quantile(times[c], rounds, 0.75),
              rate,
              100 * rate / peakRate,
              ms / tiled));
      contenders.get(c).close();
    }
    return rows.append(
            String.format(
                Locale.ROOT,
                "| %d | %d | %s | peak kernel | | %.0f | 100 | |%n",
                threads,
                problem.shape().querySeqLen(),
                problem.causal() ? "causal" : "none",
                peakRate))
        .toString();
  }

  private static double quantile(double[] times, int rounds, double q) {
    double[] sorted = Arrays.copyOf(times, rounds);
    Arrays.sort(sorted);
    return sorted[(int) Math.min(rounds - 1, Math.round(q * (rounds - 1)))];
  }
}
