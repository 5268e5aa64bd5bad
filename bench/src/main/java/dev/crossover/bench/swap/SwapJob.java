// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.bench.jobs.PointJob;
import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.jobs.Recent;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.swap.SwapRecord.Status;
import dev.crossover.models.pretrained.MiniLm;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Computes swaps in a trained encoder; a point is a setting.
///
/// Every process that computes points first reads all texts with the original model, whose
/// activations it keeps, and checks itself with an exact mechanism.
///
/// @param file of the weights, which every process can read
/// @param weights digest of that file
/// @param texts name of the texts
/// @param textsDigest digest of the texts
/// @param tokens of every text, special ones included
/// @param threads number of threads, at least 1; what is found does not depend on it
/// @param commit of the code that asks, which is the same as here
public record SwapJob(
    String file,
    String weights,
    String texts,
    String textsDigest,
    List<List<Integer>> tokens,
    int threads,
    String commit)
    implements PointJob {
  private static final String MODEL = "all-MiniLM-L6-v2";
  private static final Recent<String, MiniLm> MODELS = new Recent<>(1);
  private static final Recent<SwapJob, SwapStudy> STUDIES = new Recent<>(1);
  private static final Machine HERE = Machine.current();

  /// Copies the texts.
  public SwapJob {
    tokens = List.copyOf(tokens);
  }

  /// The job of a study whose weights are read already.
  ///
  /// @throws IllegalArgumentException if there is no tokenizer, saying how to name one
  static SwapJob of(MiniLmFiles.Loaded loaded, SwapTexts texts, int threads, String commit) {
    MODELS.put(loaded.digest(), loaded.model());
    List<List<Integer>> tokens =
        texts.encode(loaded.requireTokenizer(), loaded.model().positions()).stream()
            .map(text -> Arrays.stream(text).boxed().toList())
            .toList();
    String file = loaded.source().toAbsolutePath().toString();
    return new SwapJob(
        file, loaded.digest(), texts.name(), texts.digest(), tokens, threads, commit);
  }

  /// The point for a study of these jobs.
  PointStudy.Point point(SwapSetting setting) {
    return new PointStudy.Point(
        SwapRecord.key(weights, textsDigest, setting.text()), setting.text());
  }

  @Override
  public String compute(String point) throws IOException {
    SwapStudy study = STUDIES.get(this, this::study);
    return RecordJson.write(record(study, SwapSetting.parse(point)));
  }

  private SwapStudy study() throws IOException {
    MiniLm model = MODELS.get(weights, this::read);
    List<int[]> ids =
        tokens.stream().map(text -> text.stream().mapToInt(Integer::intValue).toArray()).toList();
    SwapStudy study = new SwapStudy(model, ids, threads);
    study.check();
    return study;
  }

  private MiniLm read() throws IOException {
    MiniLmFiles.Loaded loaded = MiniLmFiles.load(Path.of(file), null);
    if (!loaded.digest().equals(weights)) {
      throw new IOException(
          file
              + ": weights must be those of the study ("
              + weights
              + "), but here were "
              + loaded.digest());
    }
    return loaded.model();
  }

  private SwapRecord record(SwapStudy study, SwapSetting setting) {
    int exact = (int) Arrays.stream(study.lengths()).filter(setting::isExactAt).count();
    try {
      SwapStudy.Outcome outcome = study.run(setting);
      return record(
          study,
          setting,
          Status.DONE,
          "",
          SwapRecord.stored(outcome.cosines()),
          Arrays.stream(outcome.errors()).map(SwapRecord::stored).toList(),
          Double.isNaN(outcome.rank()) ? null : outcome.rank(),
          outcome.nearest(),
          outcome.work(),
          exact);
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      String reason = String.valueOf(e.getMessage());
      return record(
          study, setting, Status.REFUSED, reason, List.of(), List.of(), null, 0, 0, exact);
    }
  }

  private SwapRecord record(
      SwapStudy study,
      SwapSetting setting,
      Status status,
      String reason,
      List<Double> cosines,
      List<List<Double>> errors,
      @Nullable Double rank,
      double nearest,
      double work,
      int exact) {
    return new SwapRecord(
        "swap",
        MODEL,
        weights,
        texts,
        textsDigest,
        setting.text(),
        status,
        reason,
        Arrays.stream(study.lengths()).boxed().toList(),
        cosines,
        errors,
        rank,
        nearest,
        work,
        exact,
        HERE,
        commit);
  }
}
