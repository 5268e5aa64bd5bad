// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Nearest;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.models.task.Tasks;
import dev.crossover.reports.answer.Advice.Question;
import dev.crossover.reports.answer.QualityResults.Row;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/// Which mechanism to use where a model must learn a task: accuracy from training runs, speed from
/// a sweep.
///
/// A mixer is advised only when its accuracy reaches the one asked for (the whole 95 % interval
/// over seeds, or the one seed there is, which is told) and the whole 95 % interval of its speed-up
/// against the fastest exact baseline lies above 1; of several the one with the largest lower end.
/// Where exact attention surely did not learn the task, a mixer need not be faster. Otherwise exact
/// attention is the answer, where it learned the task. Times are those of the mechanism alone,
/// nothing is extrapolated, and between two measured lengths the slower one counts.
///
/// @param task what is to be learned, as it was trained
/// @param question length, shape and mask
/// @param minAccuracy smallest accuracy at the trained length
/// @param panel the times used; absent when none fit
/// @param exact the fastest exact baseline, and what it learned; empty where it was not trained
/// @param eligible advisable mixers, the best first
/// @param rejected all others, each with its objection
/// @param notes what the reader must know, one sentence each
public record QualityAdvice(
    String task,
    Question question,
    double minAccuracy,
    Optional<Panel> panel,
    Exact exact,
    List<Candidate> eligible,
    List<Candidate> rejected,
    List<String> notes) {

  /// Copies the lists.
  public QualityAdvice {
    eligible = List.copyOf(eligible);
    rejected = List.copyOf(rejected);
    notes = List.copyOf(notes);
  }

  /// Exact attention.
  ///
  /// @param spec the fastest exact baseline
  /// @param accuracy of exact attention on the task; NaN where it was not trained
  public record Exact(String spec, double accuracy) {}

  /// One mixer.
  ///
  /// @param row what it learned
  /// @param words its accuracy with its interval
  /// @param n the measured length its time is from; zero when it has none
  /// @param seconds median time of a call; NaN when not measured
  /// @param speedUp exact time over its time; NaN when not measured
  /// @param objection why it is not advised; empty when it may be
  public record Candidate(
      Row row, String words, int n, double seconds, Ratio speedUp, String objection) {}

  /// Answers a question.
  ///
  /// @param runs training runs
  /// @param sweeps measured points
  /// @param task a task as it was trained, or its name where it was trained in one way only
  /// @param minAccuracy smallest accuracy, above 0 and at most 1
  /// @param question length, shape and mask; its error has no part in the answer
  /// @param cpu this machine's processor, whose records are preferred
  /// @throws IllegalArgumentException if nothing was trained on the task, or it is ambiguous
  public static QualityAdvice of(
      List<QualityRecord> runs,
      List<ResultRecord> sweeps,
      String task,
      double minAccuracy,
      Question question,
      String cpu) {
    if (!(minAccuracy > 0 && minAccuracy <= 1)) {
      throw new IllegalArgumentException(
          "min-accuracy must be above 0 and at most 1, but was " + minAccuracy);
    }
    QualityResults results = trained(QualityResults.of(runs), task);
    List<String> notes = new ArrayList<>();
    notes.add(
        "Accuracy is that of a small model after training on "
            + results.task()
            + "; times are those of the mechanism alone, without the convolutions and gates that"
            + " the model has around it.");
    if (results.rows().stream().anyMatch(row -> row.records().size() < 2)) {
      notes.add("Some accuracies are of one seed: what another would reach is unknown.");
    }
    String mask = question.causal() ? "causal" : "none";
    if (!question.causal()) {
      notes.add("The models were trained under a causal mask; the times are without one.");
    }
    Optional<Panel> panel =
        Panel.of(sweeps).stream()
            .filter(p -> p.key().study() == Study.FORWARD && p.key().mask().equals(mask))
            .sorted(Advice.preference(question, cpu))
            .findFirst();
    List<Integer> lengths = panel.map(p -> Advice.bracket(p, question.n())).orElse(List.of());
    Optional<Series> exact =
        lengths.isEmpty() ? Optional.empty() : panel.map(p -> Advice.fastestExact(p, lengths));
    if (lengths.isEmpty()) {
      notes.add(
          panel
              .map(p -> Advice.beyond(p, question.n()))
              .orElse("No record has a forward pass with mask " + mask + ": no time is known."));
    }
    double learned =
        results.rows().stream()
            .filter(row -> PanelAnswer.BASELINES.contains(row.mechanism()))
            .mapToDouble(row -> row.least(results.positions()))
            .max()
            .orElse(Double.NaN);
    boolean needsSpeed =
        results.rows().stream()
            .filter(row -> PanelAnswer.BASELINES.contains(row.mechanism()))
            .anyMatch(row -> row.most(results.positions()) >= minAccuracy);
    List<Candidate> eligible = new ArrayList<>();
    List<Candidate> rejected = new ArrayList<>();
    for (Row row : results.rows()) {
      if (!PanelAnswer.BASELINES.contains(row.mechanism())) {
        Candidate candidate =
            candidate(row, results, panel, exact, lengths, minAccuracy, needsSpeed);
        (candidate.objection().isEmpty() ? eligible : rejected).add(candidate);
      }
    }
    eligible.sort(Comparator.comparingDouble(c -> -c.speedUp().low()));
    return new QualityAdvice(
        results.task(),
        question,
        minAccuracy,
        lengths.isEmpty() ? Optional.empty() : panel,
        new Exact(exact.map(Series::spec).orElse("tiled"), learned),
        eligible,
        rejected,
        notes);
  }

  private static QualityResults trained(List<QualityResults> all, String task) {
    String described = Tasks.describe(Tasks.parse(task));
    List<QualityResults> same = all.stream().filter(one -> one.task().equals(described)).toList();
    if (same.isEmpty() && !task.contains(":")) {
      same = all.stream().filter(one -> one.task().split(":")[0].equals(task)).toList();
    }
    if (same.size() != 1) {
      List<String> known = all.stream().map(QualityResults::task).toList();
      throw new IllegalArgumentException(
          "task must be one of those trained, "
              + known
              + ", but was "
              + task
              + Nearest.hint(task, known));
    }
    return same.getFirst();
  }

  private static Candidate candidate(
      Row row,
      QualityResults results,
      Optional<Panel> panel,
      Optional<Series> exact,
      List<Integer> lengths,
      double minAccuracy,
      boolean needsSpeed) {
    String words = QualityResults.words(row, results.positions());
    Ratio none = new Ratio(Double.NaN, Double.NaN, Double.NaN);
    String objection = "";
    if (!row.refusal().isEmpty()) {
      objection = "refused: " + row.refusal();
    } else if (!(row.least(results.positions()) >= minAccuracy)) {
      objection = "accuracy too low";
    }
    Optional<Series> series =
        panel.flatMap(p -> p.series().stream().filter(s -> row.isOf(s, false)).findFirst());
    boolean timed =
        !lengths.isEmpty()
            && series.isPresent()
            && lengths.stream()
                .allMatch(n -> series.get().at(n).filter(p -> !p.samples().isEmpty()).isPresent());
    if (!timed) {
      return new Candidate(
          row, words, 0, Double.NaN, none, objection.isEmpty() ? "not timed there" : objection);
    }
    Curve baseline = exact.orElseThrow().time().orElseThrow();
    Curve own = series.orElseThrow().time().orElseThrow();
    int worst = lengths.getFirst();
    for (int n : lengths) {
      if (Ratio.of(baseline, own, n).value() < Ratio.of(baseline, own, worst).value()) {
        worst = n;
      }
    }
    Ratio speedUp = Ratio.of(baseline, own, worst);
    boolean timeDecides = objection.isEmpty() && needsSpeed;
    if (timeDecides && !speedUp.hasInterval()) {
      objection = "measured in one process only: the speed-up has no interval";
    } else if (timeDecides && !speedUp.above(1)) {
      objection = speedUp.below(1) ? "slower than exact" : "the interval of the speed-up holds 1";
    }
    double seconds = series.orElseThrow().at(worst).orElseThrow().seconds();
    return new Candidate(row, words, worst, seconds, speedUp, objection);
  }

  /// What to use; nothing where neither a mixer nor exact attention is known to learn the task, or
  /// no time is known.
  public Optional<String> use() {
    if (panel.isEmpty()) {
      return Optional.empty();
    }
    if (!eligible.isEmpty()) {
      return Optional.of(eligible.getFirst().row().mixer());
    }
    return exact.accuracy() >= minAccuracy ? Optional.of(exact.spec()) : Optional.empty();
  }

  /// The advice as text: the answer first, then the runner-up, the records, and every other mixer
  /// with its objection.
  public List<String> lines() {
    List<String> lines = new ArrayList<>();
    if (!eligible.isEmpty() && panel.isPresent()) {
      lines.add("Use " + eligible.getFirst().row().mixer());
      lines.addAll(facts(eligible.getFirst()));
      if (eligible.size() > 1) {
        lines.add("Runner-up: " + eligible.get(1).row().mixer());
        lines.addAll(facts(eligible.get(1)));
      } else {
        lines.add("Runner-up: exact attention, " + exact.spec() + ", " + learned());
      }
    } else if (use().isPresent()) {
      lines.add("Use exact attention: " + exact.spec() + ", " + learned());
      lines.add("  nothing that learned " + task + " is faster for certain");
    } else if (panel.isPresent()) {
      lines.add(
          "Nothing is known to reach " + minAccuracy + " on " + task + ", so nothing is advised");
    } else {
      lines.add("No time was measured there, so nothing is advised");
    }
    panel.ifPresent(
        p ->
            lines.add(
                "Times: "
                    + p.title()
                    + ", "
                    + p.sizes()
                    + ", "
                    + Labels.clean(p.environment().cpu())
                    + ", commit "
                    + Labels.clean(p.environment().commit())));
    notes.forEach(note -> lines.add("Note: " + note));
    lines.add("");
    eligible.forEach(c -> lines.add(row(c, "advisable")));
    rejected.forEach(c -> lines.add(row(c, c.objection())));
    return lines;
  }

  private String learned() {
    return Double.isNaN(exact.accuracy())
        ? "which was not trained on " + task
        : String.format(Locale.ROOT, "accuracy %.3f on %s", exact.accuracy(), task);
  }

  private List<String> facts(Candidate c) {
    return List.of(
        "  accuracy " + c.words() + " on " + task + ", at least " + minAccuracy + " asked for",
        "  speed-up "
            + c.speedUp().words()
            + " against "
            + exact.spec()
            + " at n = "
            + Wording.length(c.n())
            + ", "
            + Wording.seconds(c.seconds())
            + " a call",
        "  state of decoding " + Wording.bytes(c.row().stateBytes()) + " after one sample");
  }

  private static String row(Candidate c, String verdict) {
    String ratio = Double.isNaN(c.speedUp().value()) ? "–" : c.speedUp().words();
    return c.row().mixer() + "  accuracy " + c.words() + "  speed-up " + ratio + "  " + verdict;
  }
}
