// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.attention.mechanism.RecordType.KnobInfo;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.ExactRows;
import dev.crossover.bench.error.HeadErrors;
import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.input.InputSource;
import dev.crossover.models.layer.LayerCatalogue;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Objects;
import java.util.stream.IntStream;
import org.jspecify.annotations.Nullable;

/// Tries settings of mechanisms on one problem: the error of each in double precision, on sampled
/// rows with an interval, on all rows where the interval holds a permitted error; and about what a
/// call takes, where the error is within a permitted one.
///
/// **No winner's curse.** Settings are chosen by their error on the even heads of the input; that
/// on the odd heads, which had no part in the choice, stands beside it. An input of one head has no
/// other part, unless another input is given: then all heads of the one choose, and all heads of
/// the other judge.
public final class Tuner {

  private final ErrorProblem problem;
  private final @Nullable ErrorProblem other;
  private final List<Double> permitted;
  private final String cpu;
  private final String commit;
  private final Stopwatch watch;
  private final Map<String, ExactRows> exact = new HashMap<>();
  private boolean perHead;

  /// Prepares one problem.
  ///
  /// @param problem tensors of one length under one mask, on which settings are chosen
  /// @param other tensors on which they are judged; absent for the odd heads of the same
  /// @param permitted permitted errors
  /// @param cpu this machine's processor
  /// @param commit commit of the code
  /// @param watch times calls; one for all problems of a process
  public Tuner(
      ErrorProblem problem,
      @Nullable ErrorProblem other,
      List<Double> permitted,
      String cpu,
      String commit,
      Stopwatch watch) {
    this.problem = problem;
    this.other = other;
    this.permitted = List.copyOf(permitted);
    this.cpu = cpu;
    this.commit = commit;
    this.watch = watch;
  }

  /// Names of the mechanisms that can be tuned: those that approximate softmax and have a knob.
  public static List<String> tunable() {
    return Catalogue.all().stream()
        .filter(type -> type.mechanism().approximates() == Approximates.SOFTMAX)
        .filter(type -> type.mechanism().target().isEmpty())
        .filter(type -> !type.knobs().isEmpty())
        .map(MechanismType::name)
        .toList();
  }

  /// Every combination of a mechanism's knobs, as specs.
  static List<String> grid(MechanismType type) {
    List<String> specs = List.of(type.name());
    for (KnobInfo knob : type.knobs()) {
      List<String> longer = new ArrayList<>();
      for (String spec : specs) {
        for (int value : knob.values()) {
          longer.add(ErrorProblem.with(spec, knob.name(), Integer.toString(value)));
        }
      }
      specs = longer;
    }
    return specs;
  }

  /// A setting that can run on the problem, before it is tried.
  ///
  /// @param spec the shortest that recreates it
  /// @param flops counted work of one forward pass
  record Setting(String spec, double flops) {}

  /// The settings of a mechanism that run on the problem and take less counted work than exact
  /// attention, those of least work first. What is drawn at random is drawn from the problem's
  /// seed.
  List<Setting> settings(String mechanism) {
    List<Setting> settings = new ArrayList<>();
    double most = flops(exactSpec());
    for (String knobs : grid(Catalogue.find(mechanism))) {
      String spec = Catalogue.describe(Catalogue.parse(problem.seeded(knobs, 1).getFirst()));
      if (runs(problem, spec) && (other == null || runs(other, spec))) {
        double flops = flops(spec);
        if (flops < most) {
          settings.add(new Setting(spec, flops));
        }
      }
    }
    settings.sort(Comparator.comparingDouble(Setting::flops));
    return settings;
  }

  private static boolean runs(ErrorProblem problem, String spec) {
    return problem.run(spec).isPresent();
  }

  /// The optimised exact baseline.
  static String exactSpec() {
    return "tiled";
  }

  private double flops(String spec) {
    return LayerCatalogue.parse(spec)
        .cost(problem.shape(), problem.mask(), problem.threads())
        .flops();
  }

  /// With times of every setting that is within a permitted error on some head, for mixes of
  /// settings by head.
  ///
  /// @throws IllegalArgumentException if heads share keys and values, as a mix refuses
  public Tuner perHead() {
    if (problem.shape().numKeyValueHeads() != problem.shape().numHeads()) {
      throw new IllegalArgumentException(
          "per-head must have as many key/value heads as heads ("
              + problem.shape().numHeads()
              + "), but had "
              + problem.shape().numKeyValueHeads());
    }
    perHead = true;
    return this;
  }

  /// Whether a setting's time is of interest: it is within a permitted error.
  boolean wantsTime(Interval chosen, List<Double> errors) {
    double most = permitted.stream().mapToDouble(Double::doubleValue).max().orElse(0);
    return chosen.low() <= most || perHead && errors.stream().anyMatch(e -> e <= most);
  }

  /// Identity of a setting's record on this problem.
  String key(String spec) {
    return record(spec, 0, new Judged(new Interval(0, 0, 0), null, List.of(), 1), null, null).key();
  }

  /// Tries a setting.
  ///
  /// @param spec one of [#settings], or the exact baseline
  FrontRecord tried(String spec) {
    ErrorProblem.Run run = problem.run(spec).orElseThrow();
    Tensor output = Tensor.zeros(run.attention().outputShape(problem.shape()));
    AttentionPlan plan = run.attention().plan(problem.shape(), problem.mask(), problem.threads());
    plan.forward(run.inputs(), output);
    Answer own = new Answer("own", problem, run, output);
    Answer theirs = other == null ? null : answer(other, spec);
    Judged sampled = judged(own, theirs, false);
    Judged judged =
        permitted.stream().anyMatch(sampled::open) ? judged(own, theirs, true) : sampled;
    Double seconds =
        wantsTime(judged.chosen, judged.perHead)
            ? (Double)
                watch.seconds(
                    run.attention().name() + problem.mask().label(),
                    () -> plan.forward(run.inputs(), output))
            : null;
    List<Double> entropy = wantsEntropy(spec) ? AttentionRows.entropyByHead(run.target()) : null;
    return record(spec, flops(spec), judged, entropy, seconds);
  }

  /// Whether the record of a setting says how peaked each head is: that of the exact baseline where
  /// settings are sought by head.
  boolean wantsEntropy(String spec) {
    return perHead && spec.equals(exactSpec());
  }

  /// Errors of a setting on both parts.
  private record Judged(Interval chosen, @Nullable Interval other, List<Double> perHead, int rows) {
    boolean open(double error) {
      return chosen.holds(error) || other != null && other.holds(error);
    }
  }

  /// What a setting gave on one of the problems.
  private record Answer(String part, ErrorProblem of, ErrorProblem.Run run, Tensor output) {}

  private static Answer answer(ErrorProblem other, String spec) {
    ErrorProblem.Run run = other.run(spec).orElseThrow();
    return new Answer("other", other, run, other.output(run));
  }

  private Judged judged(Answer here, @Nullable Answer there, boolean whole) {
    HeadErrors own = HeadErrors.of(here.output, rows(here, whole));
    if (there == null) {
      Interval odd = own.over(1, 2);
      boolean single = own.squared().size() < 2;
      return new Judged(own.over(0, 2), single ? null : odd, own.errors(), own.rows());
    }
    HeadErrors theirs = HeadErrors.of(there.output, rows(there, whole));
    return new Judged(
        own.over(0, 1), theirs.over(0, 1), own.errors(), Math.min(own.rows(), theirs.rows()));
  }

  private ExactRows rows(Answer answer, boolean whole) {
    ErrorProblem of = answer.of;
    ExactTarget target = answer.run.target();
    int n = of.shape().querySeqLen();
    return exact.computeIfAbsent(
        answer.part + target.selfLast() + whole,
        _ ->
            ExactRows.of(
                target,
                whole ? IntStream.range(0, n).toArray() : ExactRows.positions(of.shape()),
                of.threads()));
  }

  private FrontRecord record(
      String spec,
      double flops,
      Judged judged,
      @Nullable List<Double> entropy,
      @Nullable Double seconds) {
    return new FrontRecord(
        FrontRecord.KIND,
        FrontRecord.SCHEMA,
        InputSource.parse(problem.input()).label(),
        other == null ? null : InputSource.parse(other.input()).label(),
        problem.shape().querySeqLen(),
        problem.shape().numHeads(),
        problem.shape().headDim(),
        problem.mask().label(),
        problem.threads(),
        problem.seed(),
        LayerCatalogue.parse(spec).name(),
        spec,
        permitted,
        flops,
        judged.chosen,
        judged.other,
        judged.perHead,
        entropy,
        judged.rows,
        seconds,
        cpu,
        commit);
  }

  /// What is worth timing of the settings of one problem: for every permitted error those within it
  /// that seem fastest, the fastest of another mechanism, and the fastest that is within it on the
  /// other part, too, as far as they may be faster than exact attention; where none may, the one
  /// that comes nearest.
  ///
  /// @param records settings of one problem, the exact baseline among them
  /// @param permitted permitted errors
  /// @param each how many of them for an error
  /// @return specs, those that seem fastest for some error first
  public static List<String> worthTiming(
      List<FrontRecord> records, List<Double> permitted, int each) {
    double exact =
        records.stream()
            .filter(r -> r.spec().equals(exactSpec()) && r.seconds() != null)
            .mapToDouble(r -> Objects.requireNonNull(r.seconds()))
            .findFirst()
            .orElse(Double.POSITIVE_INFINITY);
    List<List<String>> ranked = new ArrayList<>();
    for (double error : permitted) {
      ranked.add(ranked(records, error, exact, each));
    }
    List<String> specs = new ArrayList<>();
    int longest = ranked.stream().mapToInt(List::size).max().orElse(0);
    for (int rank = 0; rank < longest; rank++) {
      for (List<String> list : ranked) {
        if (rank < list.size() && !specs.contains(list.get(rank))) {
          specs.add(list.get(rank));
        }
      }
    }
    return specs;
  }

  /// How much slower than the fastest in the process of errors a setting may be and still win.
  private static final double DOUBT = 1.25;

  private static List<String> ranked(
      List<FrontRecord> records, double error, double exact, int each) {
    List<FrontRecord> within =
        records.stream()
            .filter(r -> r.seconds() != null && !r.spec().equals(exactSpec()))
            .filter(r -> r.chosen().within(error))
            .sorted(
                Comparator.comparingDouble((FrontRecord r) -> Objects.requireNonNull(r.seconds())))
            .toList();
    if (within.isEmpty() || seconds(within.getFirst()) > 2 * exact) {
      return List.of();
    }
    List<String> specs = new ArrayList<>(List.of(within.getFirst().spec()));
    for (FrontRecord record : within.subList(1, within.size())) {
      if (specs.size() < each
          && seconds(record) < DOUBT * Math.min(exact, DOUBT * seconds(within.getFirst()))) {
        specs.add(record.spec());
      }
    }
    within.stream()
        .filter(r -> !r.mechanism().equals(within.getFirst().mechanism()))
        .filter(r -> seconds(r) < DOUBT * exact)
        .findFirst()
        .map(FrontRecord::spec)
        .filter(s -> !specs.contains(s))
        .ifPresent(specs::add);
    within.stream()
        .filter(r -> !r.onlyWhereChosen(error) && seconds(r) < DOUBT * exact)
        .findFirst()
        .map(FrontRecord::spec)
        .filter(s -> !specs.contains(s))
        .ifPresent(specs::add);
    return specs;
  }

  private static double seconds(FrontRecord record) {
    return Objects.requireNonNull(record.seconds());
  }
}
