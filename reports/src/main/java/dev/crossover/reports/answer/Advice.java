// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.Capabilities.Causality;
import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.tune.FrontRecord;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.TreeSet;

/// Which mechanism to use for a question, from the records of one panel.
///
/// A mechanism is advised only when its error is at most the one asked for and the whole 95 %
/// interval of its speed-up against the fastest exact baseline lies above 1; of several the one
/// with the largest lower end. Otherwise exact attention is the answer. Nothing is extrapolated: a
/// length beyond the measured ones is not answered, and between two measured lengths the worse of
/// both counts.
///
/// @param question what was asked
/// @param panel the records used; absent when none fit the question
/// @param lengths the measured lengths used: the one asked for, its two neighbours, or none
/// @param exact the fastest exact baseline there; `tiled` when nothing was measured
/// @param eligible advisable mechanisms, the best first
/// @param rejected all others, each with its objection
/// @param notes what the reader must know, one sentence each
public record Advice(
    Question question,
    Optional<Panel> panel,
    List<Integer> lengths,
    String exact,
    List<Candidate> eligible,
    List<Candidate> rejected,
    List<String> notes) {

  /// Copies the lists.
  public Advice {
    lengths = List.copyOf(lengths);
    eligible = List.copyOf(eligible);
    rejected = List.copyOf(rejected);
    notes = List.copyOf(notes);
  }

  /// What somebody wants to compute.
  ///
  /// @param n sequence length
  /// @param dim head width; the records' own when absent
  /// @param heads query heads; the records' own when absent
  /// @param threads threads; the records' own when absent
  /// @param causal whether queries see earlier keys only
  /// @param maxError largest relative Frobenius error of the output
  public record Question(
      int n,
      OptionalInt dim,
      OptionalInt heads,
      OptionalInt threads,
      boolean causal,
      double maxError) {
    /// Validates the sizes.
    ///
    /// @throws IllegalArgumentException if a size is below 1 or the error is negative
    public Question {
      require("n", n);
      dim.ifPresent(d -> require("dim", d));
      heads.ifPresent(h -> require("heads", h));
      threads.ifPresent(t -> require("threads", t));
      if (!(maxError >= 0)) {
        throw new IllegalArgumentException("max-error must be >= 0, but was " + maxError);
      }
    }

    private static void require(String name, int value) {
      if (value < 1) {
        throw new IllegalArgumentException(name + " must be >= 1, but was " + value);
      }
    }
  }

  /// One mechanism with one setting.
  ///
  /// @param label what it is called
  /// @param spec `name:param=value,…`
  /// @param n the measured length its numbers are from; zero when it has none
  /// @param seconds median time of a call; NaN when not measured
  /// @param exactSeconds the same of the exact baseline
  /// @param speedUp exact time over its time; NaN when not measured
  /// @param error relative error; NaN when there is none
  /// @param bytes counted memory; NaN when not measured
  /// @param objection why it is not advised; empty when it may be
  /// @param possible whether another error or speed would have made it advisable: it stands for
  ///     exact attention, takes the tensors, and both were measured
  public record Candidate(
      String label,
      String spec,
      int n,
      double seconds,
      double exactSeconds,
      Ratio speedUp,
      double error,
      double bytes,
      String objection,
      boolean possible) {}

  /// Errors on tensors other than the records'.
  @FunctionalInterface
  public interface Errors {
    /// Relative error of a mechanism at the question's length.
    ///
    /// @throws IllegalArgumentException if it refuses those tensors, one line
    double of(String spec);
  }

  /// Answers a question from records that nothing was tuned beside.
  ///
  /// @param records records of any number of panels
  /// @param question what is asked
  /// @param cpu this machine's processor, whose records are preferred
  /// @param errors errors to use instead of the records'; nothing for the records' own
  public static Advice of(
      List<ResultRecord> records, Question question, String cpu, Optional<Errors> errors) {
    return of(records, List.of(), question, cpu, errors);
  }

  /// Answers a question.
  ///
  /// @param records records of any number of panels
  /// @param front what `crossover tune` tried: of these settings the larger error of both parts
  ///     counts, that where they were chosen and that on the part that had no say
  /// @param question what is asked
  /// @param cpu this machine's processor, whose records are preferred
  /// @param errors errors to use instead of the records'; nothing for the records' own
  public static Advice of(
      List<ResultRecord> records,
      List<FrontRecord> front,
      Question question,
      String cpu,
      Optional<Errors> errors) {
    String mask = question.causal() ? "causal" : "none";
    List<Panel> panels =
        Panel.of(records).stream()
            .filter(p -> p.key().study() == Study.FORWARD && p.key().mask().equals(mask))
            .sorted(preference(question, cpu))
            .toList();
    List<String> notes = new ArrayList<>();
    if (panels.isEmpty()) {
      notes.add("No record has a forward pass " + maskWords(question) + ": nothing is known here.");
      return new Advice(
          question, Optional.empty(), List.of(), "tiled", List.of(), List.of(), notes);
    }
    Panel panel = panels.getFirst();
    List<Integer> lengths = bracket(panel, question.n());
    if (lengths.isEmpty()) {
      notes.add(beyond(panel, question.n()));
      return new Advice(
          question, Optional.of(panel), lengths, "tiled", List.of(), List.of(), notes);
    }
    Series exact = fastestExact(panel, lengths);
    TunedErrors tuned = TunedErrors.of(panel, errors.isPresent() ? List.of() : front);
    List<Candidate> eligible = new ArrayList<>();
    List<Candidate> rejected = new ArrayList<>();
    for (Series series : panel.series()) {
      if (series.approximates() != Approximates.EXACT) {
        Candidate candidate = candidate(series, exact, lengths, question, errors, tuned);
        (candidate.objection().isEmpty() ? eligible : rejected).add(candidate);
      }
    }
    rejected.addAll(unable(records, panel, question));
    eligible.sort(Comparator.comparingDouble((Candidate c) -> -c.speedUp().low()));
    rejected.sort(
        Comparator.comparingDouble(
            (Candidate c) -> Double.isNaN(c.speedUp().value()) ? 0 : -c.speedUp().value()));
    differences(panel, lengths, question, cpu, notes);
    if (tuned.covers(lengths)) {
      notes.add(
          "Settings were searched by crossover tune: of each the larger of its errors counts, that"
              + " where it was chosen and that on the part that had no say.");
    }
    return new Advice(
        question, Optional.of(panel), lengths, exact.spec(), eligible, rejected, notes);
  }

  /// Whether anything was measured that answers the question.
  public boolean answered() {
    return !lengths.isEmpty();
  }

  /// The mechanism advised; nothing when exact attention is.
  public Optional<Candidate> best() {
    return eligible.stream().findFirst();
  }

  /// Of the mechanisms that could have been advised, the one that misses by least: within the error
  /// if any is, then by error.
  public Optional<Candidate> nearestMiss() {
    double most = question.maxError();
    return rejected.stream()
        .filter(c -> c.possible() && c.speedUp().value() > 1)
        .min(
            Comparator.comparing((Candidate c) -> c.error() > most)
                .thenComparing(c -> c.error() > most ? c.error() : -c.speedUp().value()));
  }

  /// The next best: another advisable mechanism.
  public Optional<Candidate> runnerUp() {
    return eligible.stream().skip(1).findFirst();
  }

  private static Candidate candidate(
      Series series,
      Series exact,
      List<Integer> lengths,
      Question question,
      Optional<Errors> errors,
      TunedErrors tuned) {
    Optional<Curve> measured = series.time();
    for (int n : lengths) {
      if (measured.isEmpty() || series.at(n).isEmpty() || series.at(n).get().samples().isEmpty()) {
        return without(series.label(), series.spec(), "not measured at n = " + Wording.length(n));
      }
    }
    Curve own = measured.orElseThrow();
    Curve baseline = exact.time().orElseThrow();
    int worst = lengths.getFirst();
    Ratio speedUp = Ratio.of(baseline, own, worst);
    for (int n : lengths.subList(1, lengths.size())) {
      Ratio other = Ratio.of(baseline, own, n);
      if (bound(other) < bound(speedUp)) {
        worst = n;
        speedUp = other;
      }
    }
    Point point = series.at(worst).orElseThrow();
    double error = Double.NaN;
    String objection = "";
    if (series.approximates() == Approximates.NONE) {
      objection = "approximates nothing: it computes something else, so no error applies";
    } else if (!Labels.target(series.mechanism()).isEmpty()) {
      error = point.errorHigh();
      objection =
          "approximates "
              + Labels.target(series.mechanism())
              + ": it cannot replace exact attention";
    } else if (errors.isPresent()) {
      try {
        error = errors.get().of(series.spec());
      } catch (IllegalArgumentException e) {
        objection = "refuses these tensors: " + e.getMessage();
      }
    } else {
      error =
          lengths.stream()
              .mapToDouble(
                  n -> tuned.worst(series.spec(), n, series.at(n).orElseThrow().errorHigh()))
              .max()
              .orElseThrow();
    }
    boolean possible = objection.isEmpty() && !Double.isNaN(error) && speedUp.hasInterval();
    if (objection.isEmpty()) {
      objection =
          tuned.onlyWhereChosen(series.spec(), lengths, question.maxError())
              ? "within the error only where it was chosen, not on the other part"
              : objection(speedUp, error, question);
    }
    return new Candidate(
        series.label(),
        series.spec(),
        worst,
        point.seconds(),
        exact.at(worst).orElseThrow().seconds(),
        speedUp,
        error,
        point.countedBytes(),
        objection,
        possible);
  }

  private static String objection(Ratio speedUp, double error, Question question) {
    if (Double.isNaN(error)) {
      return "its error was not measured";
    }
    if (!(error <= question.maxError())) {
      return "error too large";
    }
    if (!speedUp.hasInterval()) {
      return "measured in one process only: the speed-up has no interval";
    }
    if (speedUp.above(1)) {
      return "";
    }
    return speedUp.below(1) ? "slower than exact" : "the interval of the speed-up holds 1";
  }

  /// Lower end of a ratio, or the ratio itself where there is no interval.
  private static double bound(Ratio ratio) {
    return ratio.hasInterval() ? ratio.low() : ratio.value();
  }

  /// Mechanisms that were measured elsewhere, but cannot work in the order asked for.
  private static List<Candidate> unable(
      List<ResultRecord> records, Panel panel, Question question) {
    Causality refused = question.causal() ? Causality.NEVER : Causality.ALWAYS;
    TreeSet<String> specs = new TreeSet<>();
    List<Candidate> unable = new ArrayList<>();
    for (ResultRecord record : records) {
      boolean refuses =
          record.study() == Study.FORWARD
              && !record.mask().equals(panel.key().mask())
              && Labels.find(record.mechanism())
                  .filter(t -> t.defaults().capabilities().causal() == refused)
                  .isPresent();
      if (refuses && specs.add(record.spec())) {
        unable.add(
            without(
                Labels.of(record),
                record.spec(),
                question.causal() ? "cannot be causal" : "is causal only"));
      }
    }
    TreeSet<String> missing = new TreeSet<>();
    for (ResultRecord record : panel.missing()) {
      boolean failed = record.status() == Status.FAILED || record.status() == Status.SKIPPED;
      boolean measured = panel.series().stream().anyMatch(s -> s.spec().equals(record.spec()));
      if (failed && !measured && missing.add(record.spec())) {
        unable.add(
            without(
                Labels.of(record),
                record.spec(),
                Labels.clean(record.reason() == null ? "not measured" : record.reason())));
      }
    }
    return unable;
  }

  private static Candidate without(String label, String spec, String objection) {
    return new Candidate(
        label,
        spec,
        0,
        Double.NaN,
        Double.NaN,
        new Ratio(Double.NaN, Double.NaN, Double.NaN),
        Double.NaN,
        Double.NaN,
        objection,
        false);
  }

  static Series fastestExact(Panel panel, List<Integer> lengths) {
    return exacts(panel, lengths).stream()
        .min(
            Comparator.comparingDouble(
                s ->
                    lengths.stream()
                        .mapToDouble(n -> s.at(n).orElseThrow().seconds())
                        .max()
                        .orElseThrow()))
        .orElseThrow();
  }

  /// Exact series that were timed at all of some lengths.
  private static List<Series> exacts(Panel panel, List<Integer> lengths) {
    return panel.series().stream()
        .filter(s -> s.approximates() == Approximates.EXACT)
        .filter(
            s ->
                lengths.stream()
                    .allMatch(n -> s.at(n).filter(p -> !p.samples().isEmpty()).isPresent()))
        .toList();
  }

  /// Lengths at which exact attention was timed: the one asked for, or the two around it, or none.
  static List<Integer> bracket(Panel panel, int n) {
    List<Integer> timed =
        panel.lengths().stream().filter(m -> !exacts(panel, List.of(m)).isEmpty()).toList();
    if (timed.contains(n)) {
      return List.of(n);
    }
    Optional<Integer> below = timed.stream().filter(m -> m < n).max(Comparator.naturalOrder());
    Optional<Integer> above = timed.stream().filter(m -> m > n).min(Comparator.naturalOrder());
    if (below.isEmpty() || above.isEmpty()) {
      return List.of();
    }
    List<Integer> both = List.of(below.get(), above.get());
    return exacts(panel, both).isEmpty() ? List.of() : both;
  }

  static String beyond(Panel panel, int n) {
    List<Integer> lengths =
        panel.lengths().stream().filter(m -> !exacts(panel, List.of(m)).isEmpty()).toList();
    return lengths.isEmpty()
        ? "No exact baseline was measured in these records, so no speed-up is known."
        : "Exact attention was measured from n = "
            + Wording.length(lengths.getFirst())
            + " to "
            + Wording.length(lengths.getLast())
            + "; n = "
            + Wording.length(n)
            + " lies outside, and nothing is extrapolated.";
  }

  static Comparator<Panel> preference(Question question, String cpu) {
    return Comparator.comparing((Panel p) -> bracket(p, question.n()).isEmpty())
        .thenComparing(p -> !p.environment().cpu().equals(cpu))
        .thenComparing(p -> differs(question.dim(), p.key().headDim()))
        .thenComparing(p -> differs(question.heads(), p.key().heads()))
        .thenComparing(p -> differs(question.threads(), p.key().threads()))
        .thenComparing(p -> p.key().crossLength() != 0 || p.key().kvHeads() != p.key().heads())
        .thenComparing(p -> p.key().batch())
        .thenComparing(p -> -p.key().threads())
        .thenComparing(p -> p.key().input().startsWith("gaussian"))
        .thenComparing(p -> -p.series().size())
        .thenComparing(p -> p.environment().timestamp(), Comparator.reverseOrder());
  }

  private static boolean differs(OptionalInt wish, int is) {
    return wish.isPresent() && wish.getAsInt() != is;
  }

  private static void differences(
      Panel panel, List<Integer> lengths, Question question, String cpu, List<String> notes) {
    if (lengths.size() > 1) {
      notes.add(
          "n = "
              + Wording.length(question.n())
              + " was not measured: of its neighbours "
              + Wording.length(lengths.getFirst())
              + " and "
              + Wording.length(lengths.getLast())
              + " the one with the smaller speed-up and the one with the larger error count.");
    }
    differ("head width", question.dim(), panel.key().headDim(), notes);
    differ("heads", question.heads(), panel.key().heads(), notes);
    differ("threads", question.threads(), panel.key().threads(), notes);
    if (!panel.environment().cpu().equals(cpu)) {
      notes.add(
          "The records are from another machine ("
              + Labels.clean(panel.environment().cpu())
              + "), not from this one.");
    }
    if (panel.key().batch() != 1) {
      notes.add("The records have batch " + panel.key().batch() + ".");
    }
  }

  private static void differ(String what, OptionalInt wish, int is, List<String> notes) {
    if (differs(wish, is)) {
      notes.add(
          "The records have "
              + what
              + " "
              + is
              + ", not "
              + wish.getAsInt()
              + ": both time and error may differ there.");
    }
  }

  private static String maskWords(Question question) {
    return question.causal() ? "under a causal mask" : "without a mask";
  }
}
