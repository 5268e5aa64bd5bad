// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.store.CachePolicies;
import dev.crossover.attention.store.CachePolicy;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import dev.crossover.models.pretrained.Digest;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.MechanismSwap;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.LongSupplier;

/// Puts mechanisms into a language model, as they are, after a transfer, and from scratch; each
/// ends as a record. What the file already holds, for the same weights, text, windows and budget,
/// is left out.
///
/// A setting with a store or a policy (`tiled:cache=h2o,budget=256`) is decoded token by token in
/// the windows that all others read whole, which use neither. It has no output error.
///
/// `+off=BRANCH` switches a branch of a mechanism off, in learning, too. Operations are counted
/// with what a gate of zero multiplies, since it is computed.
public final class LanguageSwapRunner {
  /// The name of the file of records inside its folder.
  public static final String FILE = "language-swap.jsonl";

  private static final List<Integer> BUDGETS = List.of(64, 256, 1024);

  private final PretrainedModel model;
  private final LanguageSwapJob job;
  private final Jobs jobs;
  private final Consumer<String> progress;

  /// What a dry run predicts of a mechanism.
  ///
  /// @param setting the mechanism
  /// @param seconds of everything that would be done with it
  /// @param refusal why nothing would; empty where something would
  public record Forecast(String setting, double seconds, String refusal) {}

  /// @param model `builtin`, or a file
  /// @param text a file, whose last twentieth the model is asked about, and which is learned from
  ///     before that; empty: the built-in one
  /// @param lengths bytes of windows
  /// @param windows most windows of a length
  /// @param jobs where mechanisms are computed
  /// @param progress is told what goes on
  /// @throws IOException if the model cannot be read, or reads other tokens than bytes
  /// @throws IllegalArgumentException if the text cannot be read
  public LanguageSwapRunner(
      String model,
      String text,
      List<Integer> lengths,
      int windows,
      LanguageSwapBudget budget,
      Jobs jobs,
      Consumer<String> progress)
      throws IOException {
    this.model = PretrainedModel.load(model).requireBytes();
    this.job =
        new LanguageSwapJob(
            model.equals(PretrainedModel.BUILT_IN) ? model : absolute(model),
            this.model.digest(),
            text, // as given: samples of training are drawn by its name
            Digest.of(new Bytes(2, text, Bytes.Part.HELD_OUT).ofPart()),
            Digest.of(new Bytes(2, text, Bytes.Part.TRAINING).ofPart()),
            lengths,
            windows,
            budget,
            LanguageSwapStudy.mostMemory(),
            jobs.threads(),
            Commit.current());
    this.jobs = jobs;
    this.progress = progress;
  }

  private static String absolute(String file) {
    return Path.of(file).toAbsolutePath().toString();
  }

  /// Every mechanism of the catalogue that has a causal form, with the paper's parameters; of the
  /// exact ones the tiled, since the other checks the study.
  public static List<String> everyCausal() {
    return Catalogue.all().stream()
        .map(type -> type.name())
        .filter(name -> !name.equals("materialised"))
        .filter(name -> Catalogue.parse(name).capabilities().causal() != Causality.NEVER)
        .toList();
  }

  /// Caches of exact attention: stores, and every policy at three budgets.
  public static List<String> caches() {
    List<String> settings = new ArrayList<>();
    for (String store : List.of("f32", "f16", "int8", "int8_grouped", "int4_grouped")) {
      settings.add("tiled:store=" + store);
    }
    for (RecordType<CachePolicy> policy : CachePolicies.all()) {
      for (int budget : BUDGETS) {
        settings.add("tiled:cache=" + policy.name() + ",budget=" + budget);
      }
    }
    return List.copyOf(settings);
  }

  /// The records of a file, the last one of every run.
  ///
  /// @param warnings receives one line per line that was skipped
  public static List<LanguageSwapRecord> read(Path file, List<String> warnings) throws IOException {
    return JsonLines.latest(
        List.of(file), LanguageSwapRecord.class, LanguageSwapRunner::checkedKey, warnings);
  }

  private static String checkedKey(LanguageSwapRecord record) {
    record.requireComplete();
    return record.key();
  }

  /// Does what the file does not hold yet: all mechanisms as they are, then after a transfer, then
  /// from scratch.
  ///
  /// @param file where records go
  /// @return the records of all mechanisms
  public List<LanguageSwapRecord> run(Path file, List<String> settings) throws IOException {
    List<PointStudy.Point> points = new ArrayList<>();
    for (Treatment treatment : job.budget().treatments()) {
      settings.forEach(
          setting -> points.add(job.point(setting, LanguageSwapJob.of(treatment, setting))));
    }
    return new PointStudy<>(file, LanguageSwapRecord.class, LanguageSwapRunner::checkedKey)
        .complete(
            points.stream().distinct().toList(),
            job,
            jobs,
            new PointStudy.Progress<>() {
              @Override
              public void start(int of) {
                progress.accept(
                    "checking that an exact mechanism gives the original's loss, reading the"
                        + " held-out text with the original");
              }

              @Override
              public void done(int done, int of, LanguageSwapRecord record) {
                progress.accept(done + "/" + of + "  " + line(record));
              }
            },
            progress);
  }

  private static String line(LanguageSwapRecord record) {
    String name = record.setting() + "  " + record.treatment().name().toLowerCase(Locale.ROOT);
    if (record.status() == Status.REFUSED) {
      return name + "  refused: " + record.reason();
    }
    StringBuilder line = new StringBuilder(name);
    for (int at = 0; at < record.lengths().size(); at++) {
      line.append(
          String.format(
              Locale.ROOT,
              "  n=%d %.4f bits (%+.4f)",
              record.lengths().get(at),
              record.meanBits(at),
              record.meanLoss(at)));
    }
    return line.toString();
  }

  /// How long everything takes, from one window of the shortest length of every mechanism; longer
  /// ones and steps of learning by their floating-point operations. Decoding is priced by some
  /// steps at every length. Nothing is kept.
  ///
  /// @param nanos a clock
  public List<Forecast> forecast(List<String> settings, LongSupplier nanos) {
    byte[] heldOut = new Bytes(2, job.text(), Bytes.Part.HELD_OUT).ofPart();
    LanguageSwapStudy study =
        new LanguageSwapStudy(model.model(), heldOut, job.lengths(), job.windows(), job.threads());
    return settings.stream().map(setting -> forecast(study, setting, nanos)).toList();
  }

  private Forecast forecast(LanguageSwapStudy study, String setting, LongSupplier nanos) {
    LanguageSwapBudget budget = job.budget();
    int n = job.lengths().stream().mapToInt(Integer::intValue).min().orElse(2);
    try {
      study.requireMemory(setting, n, job.memory());
      MechanismSwap swap = study.swap(setting);
      if (LanguageSwapJob.isCached(setting)) {
        double decoding = 0;
        for (int length : job.lengths()) {
          decoding += study.decodingSeconds(swap.layers(), swap.parameters(), length, nanos);
        }
        return new Forecast(setting, decoding, "");
      }
      study.firstBits(swap.layers(), swap.parameters(), n, 1);
      long before = nanos.getAsLong();
      study.firstBits(swap.layers(), swap.parameters(), n, 1);
      double pace = (nanos.getAsLong() - before) / 1e9 / study.flops(setting, n);
      double seconds = 0;
      for (Treatment treatment : budget.treatments()) {
        for (int length : job.lengths()) {
          // an output error reads a window with both mechanisms
          seconds += (study.windows(length) + 2) * pace * study.flops(setting, length);
        }
        // a backward pass takes twice a forward pass
        double step = 3.0 * budget.batch() * pace * study.flops(setting, budget.n());
        seconds += budget.steps(treatment) * step;
      }
      return new Forecast(setting, seconds, "");
    } catch (IllegalArgumentException | UnsupportedOperationException e) {
      return new Forecast(setting, 0, String.valueOf(e.getMessage()));
    }
  }
}
