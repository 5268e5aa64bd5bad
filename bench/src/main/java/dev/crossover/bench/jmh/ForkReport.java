package dev.crossover.bench.jmh;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.sweep.Forks.Facts;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.OptionalDouble;
import org.jspecify.annotations.Nullable;

/// What a fork leaves in a file for the process that started it.
final class ForkReport {
  /// Property with the file's path; without it nothing is written.
  static final String FILE_PROPERTY = "crossover.fork.report";

  /// Property that asks for the error against exact attention.
  static final String ERROR_PROPERTY = "crossover.fork.error";

  /// Property that asks for a look at the rows of exact attention.
  static final String ROWS_PROPERTY = "crossover.fork.rows";

  /// The file's content.
  ///
  /// @param lengths one entry for each length, in order
  record Contents(List<Content> lengths) {}

  /// What is known of one length: facts, or the reason why there are none.
  ///
  /// @param facts what was learned
  /// @param refusal why the mechanism did not run
  record Content(@Nullable Facts facts, @Nullable String refusal) {}

  private @Nullable Long baseline;
  private @Nullable Long peak;

  /// Remembers the resident set before the plan is built, and forgets earlier peaks.
  void markBaseline() {
    System.gc();
    ResidentSet.forgetPeak();
    baseline = ResidentSet.currentBytes();
  }

  /// Remembers the largest resident set since [#markBaseline].
  void markPeak() {
    peak = ResidentSet.peakBytes();
  }

  /// Whether the error of the length at a position is wanted.
  static boolean wantsError(int position) {
    return wanted(ERROR_PROPERTY, position);
  }

  /// Whether a look at the attention rows of the length at a position is wanted.
  static boolean wantsRows(int position) {
    return wanted(ROWS_PROPERTY, position);
  }

  private static boolean wanted(String property, int position) {
    String flags = System.getProperty(property, "");
    return position < flags.length() && flags.charAt(position) == '1';
  }

  /// The mechanism's reason not to run a length.
  static Content refusal(RuntimeException reason) {
    return new Content(null, String.valueOf(reason.getMessage()).lines().findFirst().orElse("?"));
  }

  Content facts(
      long scratchBytes,
      long parameterBytes,
      @Nullable Long stateBytes,
      @Nullable Double allocatedBytesPerCall,
      @Nullable ErrorNorms error,
      @Nullable AttentionRows rows,
      Conditions conditions) {
    Facts facts =
        new Facts(
            scratchBytes,
            parameterBytes,
            stateBytes,
            allocatedBytesPerCall,
            baseline,
            peak,
            error,
            rows,
            Kernels.get().description(),
            "",
            conditions);
    return new Content(facts, null);
  }

  /// The machine's conditions now, to be called as soon as the last iteration has ended: the clock
  /// still has the pace of the measurement, and the load average's minute is that of the fork.
  ///
  /// @param threads threads that measured
  static Conditions conditions(int threads) {
    OptionalDouble load = Machine.loadAverage();
    OptionalDouble megahertz = Machine.megahertz(threads);
    return new Conditions(
        load.isPresent() ? load.getAsDouble() : null,
        megahertz.isPresent() ? megahertz.getAsDouble() : null);
  }

  /// Leaves what is known in the file, if one was asked for.
  static void save(List<Content> lengths) {
    String file = System.getProperty(FILE_PROPERTY, "");
    if (file.isEmpty()) {
      return;
    }
    try {
      Files.writeString(Path.of(file), RecordJson.write(new Contents(lengths)));
    } catch (IOException e) {
      throw new UncheckedIOException(e);
    }
  }
}
