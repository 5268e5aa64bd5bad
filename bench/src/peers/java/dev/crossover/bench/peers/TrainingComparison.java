// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.peers;

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

/// Times a training step of a language model beside libtorch's eager step of the same model, from
/// the same weights on the same batches. The losses of the first steps are compared before: the
/// first one depends on the forward pass, the others on gradients and updates, too.
///
/// Arguments: file to write, seconds per setting, and where given a list of thread counts (else 1
/// and all) and the sizes `blocks/width/heads/length/batch` (else 4/256/4/512/8). Lists have
/// slashes between their items.
public final class TrainingComparison {
  private static final String SIZES = "4/256/4/512/8";
  private static final double WARM_UP_SHARE = 0.5;
  private static final int CHECKED_STEPS = 5;

  /// Relative: a hundred roundings of float32, of means over tokens of arithmetic in another order.
  private static final double TOLERANCE = 1e-5;

  private TrainingComparison() {}

  /// Runs the comparison.
  ///
  /// @param arguments see the class comment
  /// @throws IOException if the table cannot be written
  public static void main(String[] arguments) throws IOException {
    Path file = Path.of(arguments[0]).toAbsolutePath();
    double seconds = Double.parseDouble(arguments[1]);
    int all = Runtime.getRuntime().availableProcessors();
    String threads = arguments.length > 2 ? arguments[2] : all == 1 ? "1" : "1/" + all;
    int[] sizes = numbers(arguments.length > 3 ? arguments[3] : SIZES);
    StringBuilder table = new StringBuilder(heading(arguments));
    for (int count : numbers(threads)) {
      for (String positions : List.of("rope", "learned")) {
        String rows =
            compare(
                new TrainingProblem(sizes[0], sizes[1], sizes[2], sizes[3], sizes[4], positions),
                count,
                seconds);
        table.append(rows);
        System.out.print(rows);
      }
    }
    Files.createDirectories(file.getParent());
    Files.writeString(file, table);
    System.out.println("written: " + file);
    System.exit(0);
  }

  private static int[] numbers(String text) {
    return Arrays.stream(text.split("/")).mapToInt(Integer::parseInt).toArray();
  }

  private static String heading(String[] arguments) {
    Machine machine = Machine.current();
    return """
    # A training step beside libtorch

    Byte-level language model: pre-norm blocks, causal softmax attention, feed-forward of 4 D with GELU, layer norms,
    the embedding as head; positions by rotation or learned. A step: loss, gradients, norm of the gradients clipped at 1,
    AdamW. libtorch runs eagerly: every operation by itself, gradients by autograd, fused attention, products in
    OpenBLAS, on several threads once on as many and once on one. Float32; all start from the same weights and take the
    same batches.
    Command: `mvn -Ppeers -Dpeers.main=%s -Dpeers.args="FILE %s"`.
    Each round runs the peak and every contender in turn (on several threads after a pause, in which the threads of the
    one before stop spinning, and an untimed step that wakes its own); medians over rounds, and in brackets the middle
    half; the ratio is of times of the same round. FLOPs are 6 for a weight of a map and a token, and 14·d for a visible
    pair. %% is the share of the peak of the same rounds, a loop of fused multiply-adds on registers on as many threads;
    where the peak moved by more than 10 %% (from its 10 %% to its 90 %% quantile) the row says so.
    Before timing, losses of %d steps were compared: they agree within %s of their value. The last column is the
    largest difference. OPENBLAS_CORETYPE=%s, GOMP_SPINCOUNT=%s.

    %s, %d cores, %s, JDK %s, commit %s; kernels: %s.

    | threads | model | contender | ms a step | tokens/s | rate | %% of peak | time / crossover | losses differ by |
    |---|---|---|---|---|---|---|---|---|
    """
        .formatted(
            TrainingComparison.class.getName(),
            String.join(" ", List.of(arguments).subList(1, arguments.length)),
            CHECKED_STEPS,
            TOLERANCE,
            System.getenv("OPENBLAS_CORETYPE"),
            System.getenv("GOMP_SPINCOUNT"),
            machine.cpu(),
            machine.cores(),
            machine.os(),
            machine.jdk(),
            Commit.current(),
            Kernels.get().description());
  }

  private static String compare(TrainingProblem problem, int threads, double seconds) {
    PeakMeter peak = new PeakMeter(threads);
    List<TrainingContender> contenders = new ArrayList<>();
    contenders.add(new OurTraining(problem, threads));
    contenders.add(new LibtorchTraining(problem, threads, threads));
    if (threads > 1) {
      contenders.add(new LibtorchTraining(problem, threads, 1));
    }
    double[] differences = differences(contenders);
    List<Runnable> turns = new ArrayList<>();
    contenders.forEach(contender -> turns.add(contender::step));
    turns.add(peak::run);
    Rounds rounds = Rounds.time(turns, threads, WARM_UP_SHARE * seconds, seconds);
    PeakRange range = rounds.rates(contenders.size(), peak.flops());
    StringBuilder rows = new StringBuilder();
    for (int c = 0; c < contenders.size(); c++) {
      String name = contenders.get(c).name();
      rows.append(row(problem, threads, c, name, rounds, range))
          .append(c == 0 ? "|\n" : String.format(Locale.ROOT, "%.1e |%n", differences[c]));
      contenders.get(c).close();
    }
    return rows.append(
            String.format(
                Locale.ROOT,
                "| %d | %s | peak | | | %s GFLOP/s | 100 | | |%n",
                threads,
                problem.label(),
                PeakShare.words(range)))
        .toString();
  }

  /// Largest relative difference of the losses of the first steps from those of the first
  /// contender.
  ///
  /// @throws IllegalStateException if they do not agree
  private static double[] differences(List<TrainingContender> contenders) {
    double[] worst = new double[contenders.size()];
    for (int step = 0; step < CHECKED_STEPS; step++) {
      double expected = contenders.getFirst().step();
      for (int c = 1; c < contenders.size(); c++) {
        double loss = contenders.get(c).step();
        double difference = Math.abs(loss - expected) / expected;
        if (!(difference <= TOLERANCE)) {
          throw new IllegalStateException(
              contenders.get(c).name()
                  + ": loss of step "
                  + step
                  + " must be "
                  + expected
                  + ", but was "
                  + loss);
        }
        worst[c] = Math.max(worst[c], difference);
      }
    }
    return worst;
  }

  private static String row(
      TrainingProblem problem, int threads, int turn, String name, Rounds rounds, PeakRange peak) {
    double ms = rounds.quantile(turn, 0.5);
    double rate = problem.flops() / ms * 1e-6;
    return String.format(
        Locale.ROOT,
        "| %d | %s | %s | %.1f (%.1f–%.1f) | %.0f | %.0f GFLOP/s | %s | %.2f (%.2f–%.2f) | ",
        threads,
        problem.label(),
        name,
        ms,
        rounds.quantile(turn, 0.25),
        rounds.quantile(turn, 0.75),
        problem.tokens() / ms * 1e3,
        rate,
        PeakShare.of(rate, peak),
        rounds.ratio(turn, 0, 0.5),
        rounds.ratio(turn, 0, 0.25),
        rounds.ratio(turn, 0, 0.75));
  }
}
