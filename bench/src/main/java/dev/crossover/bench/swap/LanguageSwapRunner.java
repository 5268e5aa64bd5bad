// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Attention;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.mechanism.RecordType;
import dev.crossover.attention.store.CachePolicies;
import dev.crossover.attention.store.CachePolicy;
import dev.crossover.attention.store.Cached;
import dev.crossover.bench.machine.Commit;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.StateBytes;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import dev.crossover.models.layer.Mechanisms;
import dev.crossover.models.pretrained.Digest;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.MechanismSwap;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.function.Consumer;
import java.util.function.Function;
import java.util.function.LongSupplier;
import java.util.stream.DoubleStream;

/// Puts mechanisms into a language model one after the other, as they are, after a transfer, and
/// from scratch; each ends as a record. What the file already holds, for the same weights, text,
/// windows and budget, is left out.
///
/// A setting with a store or a policy (`tiled:cache=h2o,budget=256`) is decoded token by token in
/// the windows that all others read whole, which use neither. It has no output error.
public final class LanguageSwapRunner {
  /// The name of the file of records inside its folder.
  public static final String FILE = "language-swap.jsonl";

  private static final int MOST_STATE_TOKENS = 2048;
  private static final List<Integer> BUDGETS = List.of(64, 256, 1024);

  private final PretrainedModel model;
  private final Bytes text;
  private final byte[] heldOut;
  private final List<Integer> lengths;
  private final int windows;
  private final LanguageSwapBudget budget;
  private final int threads;
  private final Consumer<String> progress;
  private final String digest;
  private final Machine machine = Machine.current();
  private final String commit = Commit.current();

  /// A mechanism and what is done with it.
  private record Job(String setting, Treatment treatment) {}

  /// What a dry run predicts of a mechanism.
  ///
  /// @param setting the mechanism
  /// @param seconds of everything that would be done with it
  /// @param refusal why nothing would; empty where something would
  public record Forecast(String setting, double seconds, String refusal) {}

  /// What a job found.
  private record Found(
      List<List<Double>> bits,
      List<List<Double>> errors,
      List<Double> work,
      String reason,
      long stateBytes,
      double loss) {

    static Found nothing(String reason) {
      return new Found(List.of(), List.of(), List.of(), reason, -1, Double.NaN);
    }
  }

  /// @param text what the model is asked about, the held-out part, and learns from, the other
  /// @param lengths bytes of windows
  /// @param windows most windows of a length
  /// @param threads number of threads, at least 1
  /// @param progress is told what goes on
  /// @throws IllegalArgumentException if the text cannot be read
  public LanguageSwapRunner(
      PretrainedModel model,
      Bytes text,
      List<Integer> lengths,
      int windows,
      LanguageSwapBudget budget,
      int threads,
      Consumer<String> progress) {
    this.model = model;
    this.text = text;
    this.heldOut = text.ofPart();
    this.lengths = List.copyOf(lengths);
    this.windows = windows;
    this.budget = budget;
    this.threads = threads;
    this.progress = progress;
    this.digest = Digest.of(heldOut);
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

  private LanguageSwapStudy study() {
    return new LanguageSwapStudy(model.model(), heldOut, lengths, windows, threads);
  }

  private int shortest() {
    return lengths.stream().mapToInt(Integer::intValue).min().orElse(2);
  }

  private int longest() {
    return lengths.stream().mapToInt(Integer::intValue).max().orElse(2);
  }

  /// Does what the file does not hold yet, after the study has checked itself: all mechanisms as
  /// they are, then after a transfer, then from scratch.
  ///
  /// @param file where records go
  /// @return the records of all mechanisms
  public List<LanguageSwapRecord> run(Path file, List<String> settings) throws IOException {
    List<Job> jobs = new ArrayList<>();
    for (Treatment treatment : budget.treatments()) {
      settings.forEach(setting -> jobs.add(new Job(setting, of(treatment, setting))));
    }
    KeptRecords<LanguageSwapRecord> kept =
        new KeptRecords<>(file, LanguageSwapRecord.class, LanguageSwapRunner::checkedKey, progress);
    boolean decodes = jobs.stream().anyMatch(job -> job.treatment() == Treatment.DECODED);
    return kept.complete(jobs, this::key, () -> start(decodes), LanguageSwapRunner::line);
  }

  /// A store or a policy shows in decoding alone.
  private static Treatment of(Treatment treatment, String setting) {
    return treatment == Treatment.AS_IS && isCached(setting) ? Treatment.DECODED : treatment;
  }

  private static boolean isCached(String setting) {
    return Mechanisms.parse(setting) instanceof Cached;
  }

  private String key(Job job) {
    return record(job, Status.REFUSED, Found.nothing(""), List.of()).key();
  }

  private Function<Job, LanguageSwapRecord> start(boolean decodes) {
    LanguageSwapStudy study = study();
    progress.accept("checking that an exact mechanism gives the original's loss");
    study.check(shortest());
    if (decodes) {
      progress.accept("checking that a whole cache decodes the original's loss");
      study.checkDecoding(shortest());
    }
    progress.accept("reading the held-out text with the original");
    List<List<Double>> original =
        lengths.stream().map(n -> SwapRecord.stored(study.original(n))).toList();
    SwapLearning learning = new SwapLearning(model.model(), text, budget, longest(), threads);
    return job -> record(study, learning, original, job);
  }

  private LanguageSwapRecord record(
      LanguageSwapStudy study, SwapLearning learning, List<List<Double>> original, Job job) {
    try {
      Found found = found(study, learning, job);
      boolean none = found.bits().stream().allMatch(List::isEmpty);
      return none
          ? record(job, Status.REFUSED, Found.nothing(found.reason()), original)
          : record(job, Status.DONE, found, original);
    } catch (IllegalArgumentException | UnsupportedOperationException | ArithmeticException e) {
      return record(job, Status.REFUSED, Found.nothing(String.valueOf(e.getMessage())), original);
    }
  }

  private Found found(LanguageSwapStudy study, SwapLearning learning, Job job) {
    boolean scratch = job.treatment() == Treatment.SCRATCH;
    boolean decoded = job.treatment() == Treatment.DECODED;
    if (isCached(job.setting()) && !decoded) {
      throw new IllegalArgumentException(
          "store and cache must be absent where a mechanism learns, but was " + job.setting());
    }
    MechanismSwap swap = scratch ? null : study.swap(job.setting());
    if (swap != null && job.treatment() == Treatment.TRANSFERRED && budget.transferSteps() > 0) {
      learning.transfer(swap);
    }
    SwapLearning.Learned learned =
        swap == null
            ? learning.scratch(job.setting())
            : job.treatment() == Treatment.AS_IS || decoded
                ? new SwapLearning.Learned(swap.layers(), swap.parameters(), Double.NaN)
                : learning.tune(swap);
    List<List<Double>> bits = new ArrayList<>();
    List<List<Double>> errors = new ArrayList<>();
    List<Double> work = new ArrayList<>();
    List<String> reasons = new ArrayList<>();
    long state = -1;
    for (int n : lengths) {
      try {
        double one = study.work(job.setting(), n);
        double[] asked;
        if (decoded) {
          var found = study.decoded(learned.layers(), learned.parameters(), n);
          asked = found.bits();
          state = n == stateTokens() ? found.stateBytes() : state;
        } else {
          asked = study.bits(learned.layers(), learned.parameters(), n);
        }
        double[] wrong = swap == null || decoded ? new double[0] : study.errors(swap, n);
        requireFinite(asked, wrong);
        bits.add(SwapRecord.stored(asked));
        errors.add(SwapRecord.stored(wrong));
        work.add(one);
      } catch (IllegalArgumentException | UnsupportedOperationException e) {
        bits.add(List.of());
        errors.add(List.of());
        work.add(0.0);
        reasons.add(n + " bytes: " + e.getMessage());
      }
    }
    if (state < 0 && reasons.size() < lengths.size()) {
      state = StateBytes.of(learned.layers(), learned.parameters(), stateTokens());
    }
    String reason = reasons.isEmpty() ? "" : reasons.getFirst();
    return new Found(bits, errors, work, reason, state, learned.loss());
  }

  private static void requireFinite(double[] bits, double[] errors) {
    for (double value : DoubleStream.concat(Arrays.stream(bits), Arrays.stream(errors)).toArray()) {
      if (!Double.isFinite(value)) {
        throw new IllegalArgumentException("bits and errors must be finite, but were " + value);
      }
    }
  }

  /// The largest length of which the state is counted, since every token takes a step.
  private int stateTokens() {
    return lengths.stream()
        .mapToInt(Integer::intValue)
        .filter(n -> n <= MOST_STATE_TOKENS)
        .max()
        .orElse(MOST_STATE_TOKENS);
  }

  private LanguageSwapRecord record(
      Job job, Status status, Found found, List<List<Double>> original) {
    return new LanguageSwapRecord(
        "language_swap",
        model.name(),
        model.digest(),
        textName(),
        digest,
        job.setting(),
        job.treatment(),
        budget.text(job.treatment()),
        status,
        found.reason(),
        lengths,
        windows,
        found.bits(),
        original,
        found.errors(),
        found.work(),
        stateTokens(),
        found.stateBytes(),
        choosesAhead(job.setting()),
        Double.isNaN(found.loss()) ? null : found.loss(),
        machine,
        commit);
  }

  private String textName() {
    return text.text().isEmpty() ? "built-in" : String.valueOf(Path.of(text.text()).getFileName());
  }

  private static boolean choosesAhead(String setting) {
    Attention mechanism = Mechanisms.parse(setting);
    return mechanism.capabilities().abilities().contains(Ability.CHOOSES_AHEAD);
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
    LanguageSwapStudy study = study();
    return settings.stream().map(setting -> forecast(study, setting, nanos)).toList();
  }

  private Forecast forecast(LanguageSwapStudy study, String setting, LongSupplier nanos) {
    int n = shortest();
    try {
      study.work(setting, n);
      MechanismSwap swap = study.swap(setting);
      if (isCached(setting)) {
        double decoding = 0;
        for (int length : lengths) {
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
        for (int length : lengths) {
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
