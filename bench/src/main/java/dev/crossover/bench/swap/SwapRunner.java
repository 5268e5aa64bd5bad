// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.swap.SwapRecord.Status;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.Function;
import org.jspecify.annotations.Nullable;

/// Puts settings into a model one after the other; each ends as a record. Settings that the file
/// already holds, for the same weights and texts, are left out.
public final class SwapRunner {
  /// The name of the file of records inside its folder.
  public static final String FILE = "swap.jsonl";

  private static final String MODEL = "all-MiniLM-L6-v2";

  private final Path file;
  private final MiniLmFiles.Loaded loaded;
  private final SwapTexts texts;
  private final int threads;
  private final Consumer<String> progress;
  private final Machine machine = Machine.current();
  private final String commit = Commit.current();

  /// @param file where records go
  /// @param threads number of threads, at least 1
  /// @param progress is told what goes on
  public SwapRunner(
      Path file,
      MiniLmFiles.Loaded loaded,
      SwapTexts texts,
      int threads,
      Consumer<String> progress) {
    this.file = file;
    this.loaded = loaded;
    this.texts = texts;
    this.threads = threads;
    this.progress = progress;
  }

  /// The records of a file, the last one of every run.
  ///
  /// @param warnings receives one line per line that was skipped
  public static List<SwapRecord> read(Path file, List<String> warnings) throws IOException {
    return JsonLines.latest(List.of(file), SwapRecord.class, SwapRunner::checkedKey, warnings);
  }

  /// Runs the settings that the file does not hold yet, after the study has checked itself.
  ///
  /// @return the records of all settings, in their order
  public List<SwapRecord> run(List<SwapSetting> settings) throws IOException {
    KeptRecords<SwapRecord> kept =
        new KeptRecords<>(file, SwapRecord.class, SwapRunner::checkedKey, progress);
    return kept.complete(settings, this::key, this::start, SwapRunner::line);
  }

  private Function<SwapSetting, SwapRecord> start() {
    List<int[]> ids = texts.encode(loaded.requireTokenizer(), loaded.model().positions());
    progress.accept("reading " + ids.size() + " texts with the original");
    SwapStudy study = new SwapStudy(loaded.model(), ids, threads);
    progress.accept("checking that an exact mechanism reproduces it");
    study.check();
    return setting -> record(study, setting);
  }

  private static String checkedKey(SwapRecord record) {
    record.requireComplete();
    return record.key();
  }

  private String key(SwapSetting setting) {
    return SwapRecord.key(loaded.digest(), texts.digest(), setting.text());
  }

  private static String line(SwapRecord record) {
    return record.status() == Status.REFUSED
        ? record.setting() + "  refused: " + record.reason()
        : String.format(
            Locale.ROOT,
            "%s  cosine %.4f  error %.4f",
            record.setting(),
            record.meanCosine(),
            record.meanError());
  }

  private SwapRecord record(SwapStudy study, SwapSetting setting) {
    List<Integer> lengths = Arrays.stream(study.lengths()).boxed().toList();
    int exact = (int) lengths.stream().filter(setting::isExactAt).count();
    try {
      SwapStudy.Outcome outcome = study.run(setting);
      List<List<Double>> errors = Arrays.stream(outcome.errors()).map(SwapRecord::stored).toList();
      Double rank = Double.isNaN(outcome.rank()) ? null : outcome.rank();
      return record(
          setting,
          Status.DONE,
          "",
          lengths,
          SwapRecord.stored(outcome.cosines()),
          errors,
          rank,
          outcome.nearest(),
          outcome.work(),
          exact);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return record(
          setting,
          Status.REFUSED,
          String.valueOf(e.getMessage()),
          lengths,
          List.of(),
          List.of(),
          null,
          0,
          0,
          exact);
    }
  }

  private SwapRecord record(
      SwapSetting setting,
      Status status,
      String reason,
      List<Integer> lengths,
      List<Double> cosines,
      List<List<Double>> errors,
      @Nullable Double rank,
      double nearest,
      double work,
      int exact) {
    return new SwapRecord(
        "swap",
        MODEL,
        loaded.digest(),
        texts.name(),
        texts.digest(),
        setting.text(),
        status,
        reason,
        lengths,
        cosines,
        errors,
        rank,
        nearest,
        work,
        exact,
        machine,
        commit);
  }
}
