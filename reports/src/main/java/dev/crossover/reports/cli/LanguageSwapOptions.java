// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import dev.crossover.bench.swap.LanguageSwapBudget;
import dev.crossover.bench.swap.LanguageSwapRunner;
import java.io.PrintWriter;
import java.util.List;
import org.jspecify.annotations.Nullable;
import picocli.CommandLine.Option;

/// Options of a swap in a language model.
final class LanguageSwapOptions {
  private static final List<Integer> LENGTHS = List.of(512, 2048, 8192);
  private static final int WINDOWS = 8;
  private static final int BATCH = 8;
  private static final int TRAINED = 512;

  @Option(
      names = "--n",
      paramLabel = "N,…",
      description = "bytes: lengths of the windows read; 512,2048,8192 when absent.")
  private @Nullable String n;

  @Option(
      names = "--windows",
      paramLabel = "K",
      description = "bytes: most windows of a length, over which intervals go; 8 when absent.")
  private @Nullable Integer windows;

  @Option(
      names = "--transfer-steps",
      paramLabel = "K",
      description =
          "bytes: steps that fit every mechanism to the original's head outputs; 0, none, when"
              + " absent.")
  private @Nullable Integer transferSteps;

  @Option(
      names = "--tune-steps",
      paramLabel = "K",
      description = "bytes: steps on the next byte after the transfer; 0, none, when absent.")
  private @Nullable Integer tuneSteps;

  @Option(
      names = "--scratch-steps",
      paramLabel = "K",
      description =
          "bytes: steps of a fresh model with every mechanism; 0, none, when absent. tiled among"
              + " the mechanisms is the original at this budget.")
  private @Nullable Integer scratchSteps;

  @Option(
      names = "--batch",
      paramLabel = "B",
      description = "bytes: sequences of a step of learning; 8 when absent.")
  private @Nullable Integer batch;

  @Option(
      names = "--train-n",
      paramLabel = "N",
      description = "bytes: length of the sequences learned from; 512 when absent.")
  private @Nullable Integer trained;

  @Option(
      names = "--dry-run",
      description = "bytes: tell how long everything takes, from one window of every mechanism.")
  private boolean dryRun;

  List<Integer> lengths() {
    return n == null ? LENGTHS : Lists.lengths("n", n).stream().distinct().sorted().toList();
  }

  int windows() {
    return or(windows, WINDOWS);
  }

  LanguageSwapBudget budget() {
    return new LanguageSwapBudget(
        or(transferSteps, 0),
        or(tuneSteps, 0),
        or(scratchSteps, 0),
        or(batch, BATCH),
        or(trained, TRAINED));
  }

  private static int or(@Nullable Integer given, int absent) {
    return given == null ? absent : given;
  }

  boolean isDryRun() {
    return dryRun;
  }

  /// Refuses these options for a model of another kind.
  void refuse(String model) {
    boolean any =
        n != null
            || windows != null
            || transferSteps != null
            || tuneSteps != null
            || scratchSteps != null
            || batch != null
            || trained != null
            || dryRun;
    if (any) {
      throw new IllegalArgumentException(
          "model must be bytes with --n, --windows, --transfer-steps, --tune-steps,"
              + " --scratch-steps, --batch, --train-n or --dry-run, but was "
              + model);
    }
  }

  /// Prints predicted times.
  static void tell(List<LanguageSwapRunner.Forecast> forecasts, PrintWriter out) {
    double all = 0;
    for (LanguageSwapRunner.Forecast forecast : forecasts) {
      all += forecast.seconds();
      out.println(
          forecast.setting()
              + "  "
              + (forecast.refusal().isEmpty()
                  ? TrainCommand.duration(forecast.seconds())
                  : "refused: " + forecast.refusal()));
    }
    out.println(
        forecasts.size()
            + " mechanisms, about "
            + TrainCommand.duration(all)
            + " by one window of each; nothing was kept");
    out.flush();
  }
}
