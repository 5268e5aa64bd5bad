// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.swap.SwapRecord.Status;
import java.io.IOException;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;

/// Puts settings into a model; each ends as a record. Settings that the file
/// already holds, for the same weights and texts, are left out.
public final class SwapRunner {
  /// The name of the file of records inside its folder.
  public static final String FILE = "swap.jsonl";

  private final Path file;
  private final MiniLmFiles.Loaded loaded;
  private final SwapTexts texts;
  private final Jobs jobs;
  private final Consumer<String> progress;

  /// @param file where records go
  /// @param jobs where settings are computed
  /// @param progress is told what goes on
  public SwapRunner(
      Path file, MiniLmFiles.Loaded loaded, SwapTexts texts, Jobs jobs, Consumer<String> progress) {
    this.file = file;
    this.loaded = loaded;
    this.texts = texts;
    this.jobs = jobs;
    this.progress = progress;
  }

  /// The records of a file, the last one of every run.
  ///
  /// @param warnings receives one line per line that was skipped
  public static List<SwapRecord> read(Path file, List<String> warnings) throws IOException {
    return JsonLines.latest(List.of(file), SwapRecord.class, SwapRunner::checkedKey, warnings);
  }

  private static String checkedKey(SwapRecord record) {
    record.requireComplete();
    return record.key();
  }

  /// Runs the settings that the file does not hold yet.
  ///
  /// @return the records of all settings, in their order
  public List<SwapRecord> run(List<SwapSetting> settings) throws IOException {
    SwapJob job = SwapJob.of(loaded, texts, jobs.threads(), Commit.current());
    return new PointStudy<>(file, SwapRecord.class, SwapRunner::checkedKey)
        .complete(
            settings.stream().map(job::point).distinct().toList(),
            job,
            jobs,
            new PointStudy.Progress<>() {
              @Override
              public void start(int of) {
                progress.accept(
                    "reading "
                        + job.tokens().size()
                        + " texts with the original, checking that an exact mechanism reproduces"
                        + " it");
              }

              @Override
              public void done(int done, int of, SwapRecord record) {
                progress.accept(done + "/" + of + "  " + line(record));
              }
            },
            progress);
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
}
