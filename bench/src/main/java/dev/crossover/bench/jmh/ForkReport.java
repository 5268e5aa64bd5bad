// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.jmh;

import dev.crossover.attention.kernel.Kernels;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.PeakRange;
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
  /// @param samples seconds per call; absent where the harness took the time
  record Content(@Nullable Facts facts, @Nullable String refusal, @Nullable List<Double> samples) {}

  private final Gauges gauges;
  private final boolean alone;
  private @Nullable Long baseline;
  private @Nullable Long peak;
  private @Nullable Long construction;
  private @Nullable Long firstCall;
  private long allocatedBefore;

  /// @param alone whether no other length is measured in this process, so that its resident set is
  ///     that of the point
  ForkReport(Gauges gauges, boolean alone) {
    this.gauges = gauges;
    this.alone = alone;
  }

  /// To be called before the plan is built: remembers the resident set and forgets earlier peaks.
  void beforeConstruction() {
    System.gc();
    ResidentSet.forgetPeak();
    baseline = ResidentSet.currentBytes();
    allocatedBefore = gauges.allocatedBytes();
  }

  /// To be called when the plan stands.
  void beforeFirstCall() {
    construction = gauges.allocatedBytes() - allocatedBefore;
    allocatedBefore = gauges.allocatedBytes();
  }

  /// To be called after the first call: remembers the largest resident set since
  /// [#beforeConstruction].
  void afterFirstCall() {
    firstCall = gauges.allocatedBytes() - allocatedBefore;
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
    return new Content(
        null, String.valueOf(reason.getMessage()).lines().findFirst().orElse("?"), null);
  }

  Facts facts(
      long scratchBytes,
      long parameterBytes,
      @Nullable Long stateBytes,
      @Nullable Long keptBytes,
      @Nullable Double allocatedBytesPerCall,
      @Nullable ErrorNorms error,
      @Nullable AttentionRows rows,
      Conditions conditions) {
    return new Facts(
        scratchBytes,
        parameterBytes,
        stateBytes,
        allocatedBytesPerCall,
        alone ? baseline : null,
        alone ? peak : null,
        construction,
        firstCall,
        keptBytes,
        error,
        rows,
        Kernels.get().description(),
        "",
        conditions);
  }

  /// The machine's conditions now, to be called as soon as the last iteration has ended: the clock
  /// still has the pace of the measurement, and the load average's minute is that of the fork.
  ///
  /// @param threads threads that measured
  /// @param lengths lengths that the fork measured
  /// @param peak what the multiply-add loop reached between the samples; absent where none was kept
  static Conditions conditions(int threads, int lengths, @Nullable PeakRange peak) {
    OptionalDouble load = Machine.loadAverage();
    OptionalDouble megahertz = Machine.megahertz(threads);
    return new Conditions(
        load.isPresent() ? load.getAsDouble() : null,
        megahertz.isPresent() ? megahertz.getAsDouble() : null,
        null,
        lengths,
        peak);
  }

  /// The conditions of one length of the fork.
  ///
  /// @param unsteady why its samples are not those of steady code; empty when they are
  static Conditions conditions(Conditions ofFork, String unsteady) {
    return new Conditions(
        ofFork.loadAverage(),
        ofFork.megahertz(),
        unsteady.isEmpty() ? null : unsteady,
        ofFork.lengths(),
        ofFork.peak());
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
