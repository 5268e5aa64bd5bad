// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import dev.crossover.attention.Attention;
import dev.crossover.attention.Capabilities.Ability;
import dev.crossover.attention.store.Cached;
import dev.crossover.bench.jobs.PointJob;
import dev.crossover.bench.jobs.PointStudy;
import dev.crossover.bench.jobs.Recent;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.quality.StateBytes;
import dev.crossover.bench.result.RecordJson;
import dev.crossover.bench.swap.LanguageSwapRecord.Status;
import dev.crossover.bench.swap.LanguageSwapRecord.Treatment;
import dev.crossover.models.pretrained.Digest;
import dev.crossover.models.pretrained.PretrainedModel;
import dev.crossover.models.task.Bytes;
import dev.crossover.models.training.MechanismSwap;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.DoubleStream;

/// Computes swaps in a language model; a point is a mechanism and what is done with it.
///
/// Every process that computes points first reads the model, checks itself with an exact mechanism,
/// and reads the held-out text with the original; before the first point that decodes it checks
/// that a whole cache decodes the original's loss.
///
/// @param model `builtin`, or a file that every process can read
/// @param weights digest of its file
/// @param text a file that every process can read; empty: the built-in text
/// @param textDigest digest of its held-out part
/// @param learnedDigest digest of the part that is learned from
/// @param lengths bytes of windows
/// @param windows most windows of a length
/// @param budget of learning
/// @param memory most bytes that the plans of a mechanism may take; what needs more is refused
/// @param threads number of threads, at least 1; what is found does not depend on it
/// @param commit of the code that asks, which is the same as here
public record LanguageSwapJob(
    String model,
    String weights,
    String text,
    String textDigest,
    String learnedDigest,
    List<Integer> lengths,
    int windows,
    LanguageSwapBudget budget,
    long memory,
    int threads,
    String commit)
    implements PointJob {
  private static final int MOST_STATE_TOKENS = 2048;
  private static final Recent<LanguageSwapJob, Prepared> PREPARED = new Recent<>(1);
  private static final Recent<LanguageSwapJob, Boolean> DECODING = new Recent<>(1);
  private static final Machine HERE = Machine.current();

  /// Copies the lengths.
  public LanguageSwapJob {
    lengths = List.copyOf(lengths);
  }

  /// A mechanism and what is done with it.
  record Point(String setting, Treatment treatment) {}

  /// What all points need.
  private record Prepared(
      PretrainedModel model,
      LanguageSwapStudy study,
      SwapLearning learning,
      List<List<Double>> original) {}

  /// What a point found.
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

  /// What is done with a setting for a treatment: a store or a policy shows in decoding alone.
  static Treatment of(Treatment treatment, String setting) {
    return treatment == Treatment.AS_IS && isCached(setting) ? Treatment.DECODED : treatment;
  }

  /// Whether a setting has a store or a policy.
  static boolean isCached(String setting) {
    return LanguageSwapStudy.mechanism(setting) instanceof Cached;
  }

  /// The point for a study of these jobs.
  PointStudy.Point point(String setting, Treatment treatment) {
    String key =
        LanguageSwapRecord.key(
            weights, textDigest, lengths, windows, setting, treatment, budget.text(treatment));
    return new PointStudy.Point(key, RecordJson.write(new Point(setting, treatment)));
  }

  @Override
  public String compute(String point) throws IOException {
    Prepared prepared = PREPARED.get(this, this::prepare);
    Point asked = RecordJson.read(point, Point.class);
    if (asked.treatment() == Treatment.DECODED) {
      DECODING.get(this, () -> decodes(prepared.study()));
    }
    return RecordJson.write(record(prepared, asked));
  }

  private int shortest() {
    return lengths.stream().mapToInt(Integer::intValue).min().orElse(2);
  }

  private Boolean decodes(LanguageSwapStudy study) {
    study.checkDecoding(shortest());
    return Boolean.TRUE;
  }

  private Prepared prepare() throws IOException {
    PretrainedModel loaded = PretrainedModel.load(model).requireBytes();
    requireSame("weights", model, weights, loaded.digest());
    byte[] heldOut = new Bytes(2, text, Bytes.Part.HELD_OUT).ofPart();
    requireSame("text", text, textDigest, Digest.of(heldOut));
    Bytes learned = new Bytes(2, text, Bytes.Part.TRAINING);
    requireSame("text", text, learnedDigest, Digest.of(learned.ofPart()));
    LanguageSwapStudy study =
        new LanguageSwapStudy(loaded.model(), heldOut, lengths, windows, threads);
    study.check(shortest());
    List<List<Double>> original =
        lengths.stream().map(n -> SwapRecord.stored(study.original(n))).toList();
    int longest = lengths.stream().mapToInt(Integer::intValue).max().orElse(2);
    SwapLearning learning = new SwapLearning(loaded.model(), learned, budget, longest, threads);
    return new Prepared(loaded, study, learning, original);
  }

  private static void requireSame(String what, String file, String asked, String found)
      throws IOException {
    if (!found.equals(asked)) {
      throw new IOException(
          file
              + ": "
              + what
              + " must be those of the study ("
              + asked
              + "), but here were "
              + found);
    }
  }

  private LanguageSwapRecord record(Prepared prepared, Point point) throws IOException {
    try {
      Found found = found(prepared, point);
      boolean none = found.bits().stream().allMatch(List::isEmpty);
      return none
          ? record(prepared, point, Status.REFUSED, Found.nothing(found.reason()))
          : record(prepared, point, Status.DONE, found);
    } catch (IllegalArgumentException | UnsupportedOperationException | ArithmeticException e) {
      Found none = Found.nothing(String.valueOf(e.getMessage()));
      return record(prepared, point, Status.REFUSED, none);
    }
  }

  private Found found(Prepared prepared, Point point) throws IOException {
    LanguageSwapStudy study = prepared.study();
    SwapLearning learning = prepared.learning();
    boolean scratch = point.treatment() == Treatment.SCRATCH;
    boolean decoded = point.treatment() == Treatment.DECODED;
    if (isCached(point.setting()) && !decoded) {
      throw new IllegalArgumentException(
          "store and cache must be absent where a mechanism learns, but was " + point.setting());
    }
    MechanismSwap swap = scratch ? null : study.swap(point.setting());
    if (swap != null && point.treatment() == Treatment.TRANSFERRED && budget.transferSteps() > 0) {
      learning.transfer(swap);
    }
    SwapLearning.Learned learned =
        swap == null
            ? learning.scratch(point.setting())
            : point.treatment() == Treatment.AS_IS || decoded
                ? new SwapLearning.Learned(swap.layers(), swap.parameters(), Double.NaN)
                : learning.tune(swap);
    List<List<Double>> bits = new ArrayList<>();
    List<List<Double>> errors = new ArrayList<>();
    List<Double> work = new ArrayList<>();
    List<String> reasons = new ArrayList<>();
    long state = -1;
    for (int n : lengths) {
      try {
        requireMemory(study, point.setting(), n, LanguageSwapStudy.mostMemory());
        double one = study.work(point.setting(), n);
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

  /// Refuses what the study's limit excludes; what it permits must have its place here, or records
  /// would depend on where they were computed.
  ///
  /// @param here most bytes that plans may take in this process
  void requireMemory(LanguageSwapStudy study, String setting, int n, long here) throws IOException {
    study.requireMemory(setting, n, memory);
    try {
      study.requireMemory(setting, n, here);
    } catch (IllegalArgumentException e) {
      throw new IOException(
          "memory of a process must be that of the one that asks, or more, but here "
              + e.getMessage(),
          e);
    }
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

  private LanguageSwapRecord record(Prepared prepared, Point point, Status status, Found found) {
    return new LanguageSwapRecord(
        "language_swap",
        prepared.model().name(),
        weights,
        text.isEmpty() ? "built-in" : String.valueOf(Path.of(text).getFileName()),
        textDigest,
        point.setting(),
        point.treatment(),
        budget.text(point.treatment()),
        status,
        found.reason(),
        lengths,
        windows,
        found.bits(),
        prepared.original(),
        found.errors(),
        found.work(),
        stateTokens(),
        found.stateBytes(),
        choosesAhead(point.setting()),
        Double.isNaN(found.loss()) ? null : found.loss(),
        HERE,
        commit);
  }

  private static boolean choosesAhead(String setting) {
    Attention mechanism = LanguageSwapStudy.mechanism(setting);
    return mechanism.capabilities().abilities().contains(Ability.CHOOSES_AHEAD);
  }
}
