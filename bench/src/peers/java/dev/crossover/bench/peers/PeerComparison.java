// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

import dev.crossover.attention.exact.Materialised;
import dev.crossover.attention.exact.Tiled;
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
import java.util.List;
import java.util.Locale;

/// Times exact attention beside libtorch and ONNX Runtime: every round runs the peak (for decoding
/// a pass over memory) and each contender in turn, so that all meet the same machine; every
/// contender's output is checked first. Settings: full and causal attention of each length, other
/// widths and shared keys at 2048, batches of short sequences, both passes of 2048 and decoding
/// with 65536 keys.
///
/// Arguments: file to write, list of lengths, seconds per setting, and list of thread counts (1 and
/// all where absent). Lists have slashes between their items. A file beside the table called
/// `peers-note.md` is put before it.
public final class PeerComparison {
  private static final int HEADS = 8;
  private static final int DIM = 64;
  private static final double WARM_UP_SECONDS = 1.5;
  private static final int LENGTH = 2048;
  private static final int DECODING_KEYS = 65536;
  private static final int LONGEST_MATERIALISED = 4096;
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
        Float32, Gaussian inputs; sizes are batch entries × heads (query/shared) × width. Peers get shared keys and values
        repeated for every head.
        Command: `mvn -Ppeers -Dpeers.args="FILE %s"`.
        Each round runs the peak and every contender in turn, each as often as fills %.0f ms (on several threads
        after a pause, in which the threads of the one before stop spinning, and an untimed run that wakes its own);
        medians over rounds, and in brackets the middle half. FLOPs are 4·d per visible pair, 10·d for the backward pass.
        %% is the share of the peak of the same rounds: a loop of fused multiply-adds on registers, on as many
        threads; for decoding of the bandwidth at which the same rounds read a gigabyte. A share above 100 %%,
        or a peak that moved by more than 10 %% (from its 10 %% to its 90 %% quantile), is no result: the row says so.
        Every output was compared with double precision before timing. Peers run with
        OPENBLAS_NUM_THREADS=%s and OPENBLAS_CORETYPE=%s.

        %s, %d cores, %s, JDK %s, commit %s; kernels: %s.

        """
            .formatted(
                String.join(" ", List.of(arguments).subList(1, arguments.length)),
                Rounds.LEAST_MILLIS,
                System.getenv("OPENBLAS_NUM_THREADS"),
                System.getenv("OPENBLAS_CORETYPE"),
                machine.cpu(),
                machine.cores(),
                machine.os(),
                machine.jdk(),
                Commit.current(),
                Kernels.get().description()));
    Path file = Path.of(arguments[0]).toAbsolutePath();
    Path note = file.resolveSibling("peers-note.md");
    if (Files.exists(note)) {
      table.append(Files.readString(note)).append('\n');
    }
    table.append(
        "| threads | sizes | n | mask | contender | ms | rate | % of peak | time / tiled |\n");
    table.append("|---|---|---|---|---|---|---|---|---|\n");
    double seconds = Double.parseDouble(arguments[2]);
    for (int threads : threads(arguments)) {
      for (String n : arguments[1].split("/")) {
        for (boolean causal : new boolean[] {false, true}) {
          Problem problem = Problem.of(1, HEADS, Integer.parseInt(n), DIM, causal);
          add(table, compare(problem, contenders(problem, threads), threads, seconds));
        }
      }
      for (Problem problem : otherShapes()) {
        add(table, compare(problem, contenders(problem, threads), threads, seconds));
      }
      for (boolean causal : new boolean[] {false, true}) {
        Problem problem = Problem.of(1, HEADS, LENGTH, DIM, causal);
        Contender backward = new GradientContender(problem, threads, false);
        add(table, compare(problem, List.of(backward), threads, seconds));
        Contender both = new GradientContender(problem, threads, true);
        Contender libtorch = new LibtorchGradientContender(problem, threads);
        add(table, compare(problem, List.of(both, libtorch), threads, seconds));
      }
      Problem decoding = Problem.decoding(HEADS, DECODING_KEYS, DIM);
      add(table, compare(decoding, contenders(decoding, threads), threads, seconds));
    }
    Files.createDirectories(file.getParent());
    Files.writeString(file, table);
    System.out.println("written: " + file);
    System.exit(0);
  }

  /// Widths of models, shared keys and values, and the short sequences of embedding models.
  private static List<Problem> otherShapes() {
    List<Problem> problems = new ArrayList<>();
    for (int width : new int[] {32, 80, 96, 128, 256}) {
      problems.add(Problem.of(1, HEADS, LENGTH, width, false));
    }
    problems.add(Problem.grouped(HEADS, 2, LENGTH, 128, true));
    for (int n : new int[] {16, 64, 128, 256}) {
      problems.add(Problem.of(16, 12, n, DIM, false));
    }
    return problems;
  }

  private static int[] threads(String[] arguments) {
    if (arguments.length > 3) {
      return Arrays.stream(arguments[3].split("/")).mapToInt(Integer::parseInt).toArray();
    }
    int all = Runtime.getRuntime().availableProcessors();
    return all == 1 ? new int[] {1} : new int[] {1, all};
  }

  private static void add(StringBuilder table, String rows) {
    table.append(rows);
    System.out.print(rows);
  }

  private static List<Contender> contenders(Problem problem, int threads) {
    List<Contender> contenders = new ArrayList<>();
    contenders.add(new OurContender(new Tiled(), problem, threads));
    if (problem.shape().keySeqLen() <= LONGEST_MATERIALISED) {
      contenders.add(new OurContender(new Materialised(), problem, threads));
    }
    contenders.add(new LibtorchContender(problem, threads));
    contenders.add(new OnnxContender(problem, threads));
    return contenders;
  }

  private static String compare(
      Problem problem, List<Contender> contenders, int threads, double seconds) {
    boolean decoding = problem.shape().querySeqLen() == 1;
    PeakMeter peak = new PeakMeter(threads);
    for (Contender contender : contenders) {
      contender.run();
      double error = contender.error(problem);
      if (!(error <= TOLERANCE)) {
        throw new IllegalStateException(
            contender.name() + " must agree with double precision, but errs by " + error);
      }
    }
    List<Runnable> turns = new ArrayList<>();
    for (Contender contender : contenders) {
      turns.add(contender::run);
    }
    turns.add(decoding ? peak::readAll : peak::run);
    Rounds rounds = Rounds.time(turns, threads, WARM_UP_SECONDS, seconds);
    double most = decoding ? peak.bytesRead() : peak.flops();
    PeakRange range = rounds.rates(contenders.size(), most);
    double tiled = rounds.quantile(0, 0.5);
    String setting =
        String.format(
            Locale.ROOT,
            "| %d | %s | %d | %s | ",
            threads,
            problem.sizes(),
            problem.shape().keySeqLen(),
            problem.label());
    StringBuilder rows = new StringBuilder();
    for (int c = 0; c < contenders.size(); c++) {
      Contender contender = contenders.get(c);
      double ms = rounds.quantile(c, 0.5);
      double work = problem.flops() * contender.forwards();
      double rate = (decoding ? problem.bytes() : work) / ms * 1e-6;
      rows.append(setting)
          .append(
              String.format(
                  Locale.ROOT,
                  "%s | %.2f (%.2f–%.2f) | %.0f %s | %s | %.2f |%n",
                  contender.name(),
                  ms,
                  rounds.quantile(c, 0.25),
                  rounds.quantile(c, 0.75),
                  rate,
                  decoding ? "GB/s" : "GFLOP/s",
                  PeakShare.of(rate, range),
                  ms / tiled));
      contender.close();
    }
    return rows.append(setting)
        .append(
            String.format(
                Locale.ROOT,
                "%s | | %s %s | 100 | |%n",
                decoding ? "reading memory" : "peak",
                PeakShare.words(range),
                decoding ? "GB/s" : "GFLOP/s"))
        .toString();
  }
}
