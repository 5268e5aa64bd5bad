// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import dev.crossover.bench.result.JsonLines;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.function.BooleanSupplier;
import java.util.function.Consumer;

/// Tries all settings of some mechanisms on one problem and keeps their records in a file; what the
/// file holds of this machine and commit is not tried anew.
///
/// Settings of a mechanism are tried in order of their counted work, one of each mechanism in turn,
/// so that a search that ends early has tried some of all. Those that would be slower
/// than exact attention even at the mechanism's best rate so far, with a margin, are not.
public final class FrontSearch implements AutoCloseable {
  /// How much better than the best rate so far a setting may turn out.
  private static final double MARGIN = 1.5;

  /// How often a mix is made more accurate until all rows are within the permitted error.
  private static final int ATTEMPTS = 3;

  /// Every so many rounds progress is told.
  private static final int ROUNDS_TOLD = 8;

  private final Map<String, FrontRecord> known = new LinkedHashMap<>();
  private final JsonLines file;
  private final BooleanSupplier late;
  private final Consumer<String> progress;

  /// What a search found.
  ///
  /// @param records the exact baseline and all settings that were tried
  /// @param complete whether no setting was left out for want of time
  public record Found(List<FrontRecord> records, boolean complete) {}

  /// Reads what is known, and opens the file for appending.
  ///
  /// @param path where records are kept
  /// @param late whether the time for trying settings is over
  /// @param progress is told how far a search is
  public FrontSearch(Path path, BooleanSupplier late, Consumer<String> progress)
      throws IOException {
    this.late = late;
    this.progress = progress;
    FrontFile.Contents contents = FrontFile.read(List.of(path));
    contents.warnings().forEach(progress);
    contents.records().forEach(record -> known.put(record.key(), record));
    this.file = JsonLines.open(path);
  }

  /// Releases the file for other writers.
  @Override
  public void close() throws IOException {
    file.close();
  }

  /// Tries the settings of mechanisms.
  ///
  /// @param tuner the problem
  /// @param mechanisms names
  /// @param permitted permitted errors
  public Found on(Tuner tuner, List<String> mechanisms, List<Double> permitted) throws IOException {
    List<FrontRecord> records = new ArrayList<>();
    FrontRecord exact = record(tuner, Tuner.exactSpec(), permitted);
    records.add(exact);
    double seconds = Objects.requireNonNull(exact.seconds());
    List<Line> lines = new ArrayList<>();
    for (String mechanism : mechanisms) {
      lines.add(new Line(tuner.settings(mechanism)));
    }
    int rounds = lines.stream().mapToInt(line -> line.settings.size()).max().orElse(0);
    boolean complete = true;
    for (int round = 0; round < rounds; round++) {
      if (complete && round % ROUNDS_TOLD == 0) {
        progress.accept("round " + (round + 1) + " of at most " + rounds);
      }
      for (Line line : lines) {
        if (round >= line.settings.size() || !worth(line, round, tuner, seconds)) {
          continue;
        }
        String spec = line.settings.get(round).spec();
        if (!usable(tuner, spec, permitted) && late.getAsBoolean()) {
          complete = false;
          continue;
        }
        FrontRecord record = record(tuner, spec, permitted);
        records.add(record);
        if (record.seconds() != null) {
          line.bestRate = Math.max(line.bestRate, record.flops() / record.seconds());
        }
      }
    }
    return new Found(List.copyOf(records), complete);
  }

  /// The settings of a mechanism, and the best rate of those that were timed.
  private static final class Line {
    private final List<Tuner.Setting> settings;
    private double bestRate;

    Line(List<Tuner.Setting> settings) {
      this.settings = settings;
    }
  }

  /// Whether a setting may be faster than exact attention, or is known already.
  private boolean worth(Line line, int round, Tuner tuner, double exactSeconds) {
    Tuner.Setting setting = line.settings.get(round);
    return line.bestRate == 0
        || setting.flops() / (MARGIN * line.bestRate) <= exactSeconds
        || known.containsKey(tuner.key(setting.spec()));
  }

  /// Tries mixes of settings by head: for each permitted error the cheapest assignment within it.
  ///
  /// @param tuner the problem, as in [#on]
  /// @param records what [#on] found there
  /// @param permitted permitted errors
  /// @return records of mixes in which heads differ
  public List<FrontRecord> mixes(Tuner tuner, List<FrontRecord> records, List<Double> permitted)
      throws IOException {
    List<FrontRecord> mixes = new ArrayList<>();
    for (double error : permitted) {
      double aim = error;
      for (int attempt = 0; attempt < ATTEMPTS; attempt++) {
        Optional<PerHead.Assignment> best = PerHead.best(records, aim);
        if (best.isEmpty() || !best.get().mixes()) {
          break;
        }
        FrontRecord mix = record(tuner, best.get().spec(), permitted);
        if (mixes.stream().noneMatch(m -> m.spec().equals(mix.spec()))) {
          mixes.add(mix);
        }
        if (mix.chosen().within(error)) {
          progress.accept(told(error, best.get()));
          break;
        }
        // sampled rows were too kind: aim lower
        aim *= 0.98 * error / mix.chosen().high();
      }
    }
    return mixes;
  }

  private static String told(double error, PerHead.Assignment best) {
    return String.format(
        Locale.ROOT,
        "by head within %s: %s, by estimates at most %.1f %% above the least",
        error,
        best.spec(),
        100 * (best.seconds() / best.least() - 1));
  }

  /// Whether the file says what has to be known of a setting.
  private boolean usable(Tuner tuner, String spec, List<Double> permitted) {
    FrontRecord before = known.get(tuner.key(spec));
    return before != null
        && before.permitted().containsAll(permitted)
        && before.decides(permitted)
        && (before.entropy() != null || !tuner.wantsEntropy(spec));
  }

  private FrontRecord record(Tuner tuner, String spec, List<Double> permitted) throws IOException {
    if (usable(tuner, spec, permitted)) {
      return Objects.requireNonNull(known.get(tuner.key(spec)));
    }
    FrontRecord record = tuner.tried(spec);
    file.append(record);
    known.put(record.key(), record);
    return record;
  }
}
