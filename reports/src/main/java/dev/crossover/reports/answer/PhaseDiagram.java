// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Entry;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.stream.Stream;
import org.jspecify.annotations.Nullable;

/// Which mechanism is the fastest within a permitted error, or with a required accuracy, at a
/// sequence length: one cell for each pair, for one mask, input and machine.
///
/// @param face what is asked for
/// @param task what models were trained on; empty where an error is asked for
/// @param panel the records of times
/// @param tuned whether settings were searched by `crossover tune`; if not, they are those that
///     were measured, and every error is that of the heads on which the setting is chosen
/// @param parts where settings are chosen and judged, in words
/// @param errors permitted errors, or what required accuracies leave to 1, ascending
/// @param frontiers one for each length, ascending
public record PhaseDiagram(
    PhaseFace face,
    String task,
    Panel panel,
    boolean tuned,
    String parts,
    List<Double> errors,
    List<Frontier> frontiers) {
  /// Permitted errors where none were asked for.
  public static final List<Double> PERMITTED = List.of(0.01, 0.02, 0.05, 0.1, 0.2);

  static final String BASELINE = "tiled";

  /// The error of exact attention.
  private static final Interval EXACT = new Interval(0, 0, 0);

  /// Copies the lists.
  public PhaseDiagram {
    errors = List.copyOf(errors);
    frontiers = List.copyOf(frontiers);
  }

  /// The diagrams that records allow: one for each panel of forward passes in which the optimised
  /// exact baseline and an approximation of softmax attention were timed; tuned ones first, causal
  /// ones before others.
  ///
  /// @param results records of times
  /// @param front records of errors, of any problems; none for errors of the result records
  public static List<PhaseDiagram> of(List<ResultRecord> results, List<FrontRecord> front) {
    List<PhaseDiagram> diagrams = new ArrayList<>();
    for (Panel panel : Panel.of(results)) {
      if (!fits(panel)) {
        continue;
      }
      Map<String, List<FrontRecord>> byParts = new LinkedHashMap<>();
      front.stream()
          .filter(f -> matches(f, panel))
          .forEach(
              f ->
                  byParts
                      .computeIfAbsent(String.valueOf(f.otherInput()), _ -> new ArrayList<>())
                      .add(f));
      if (byParts.isEmpty()) {
        diagrams.add(measured(panel));
      }
      byParts.values().forEach(records -> diagrams.add(tuned(panel, records)));
    }
    return diagrams.stream()
        .filter(d -> d.tuned || d.frontiers.stream().anyMatch(f -> !f.entries().isEmpty()))
        .sorted(
            Comparator.comparing((PhaseDiagram d) -> !d.tuned)
                .thenComparing(d -> !d.panel.key().mask().equals("causal")))
        .toList();
  }

  private static boolean fits(Panel panel) {
    return panel.key().study() == Study.FORWARD
        && panel.key().crossLength() == 0
        && !Labels.isLayer(panel.anyRecord())
        && panel.baseline(BASELINE).flatMap(Series::time).isPresent();
  }

  /// Whether a record of errors is about the times of a panel.
  static boolean matches(FrontRecord f, Panel panel) {
    Panel.Key key = panel.key();
    ResultRecord.Environment environment = panel.environment();
    return f.input().equals(key.input())
        && f.mask().equals(key.mask())
        && f.heads() == key.heads()
        && f.headDim() == key.headDim()
        && f.threads() == key.threads()
        && f.cpu().equals(environment.cpu())
        && f.commit().equals(environment.commit());
  }

  private static PhaseDiagram tuned(Panel panel, List<FrontRecord> records) {
    Map<Integer, Map<String, FrontRecord>> byLength = new TreeMap<>();
    Set<Double> errors = new TreeSet<>();
    for (FrontRecord record : records) {
      byLength
          .computeIfAbsent(record.n(), _ -> new LinkedHashMap<>())
          .put(record.seed() + "|" + record.spec(), record);
      errors.addAll(record.permitted());
    }
    List<Frontier> frontiers = new ArrayList<>();
    byLength.forEach(
        (n, bySpec) ->
            frontiers.add(
                frontier(
                    panel,
                    n,
                    point -> {
                      FrontRecord found =
                          bySpec.get(point.first().seed() + "|" + point.first().spec());
                      return found == null ? null : new Errors(found.chosen(), found.other());
                    },
                    (int)
                        bySpec.values().stream()
                            .filter(f -> !f.mechanism().equals(BASELINE))
                            .count())));
    return new PhaseDiagram(
        PhaseFace.ERROR,
        "",
        panel,
        true,
        parts(records.getFirst()),
        List.copyOf(errors),
        frontiers);
  }

  /// Where the settings of a problem are chosen and judged, in words.
  static String parts(FrontRecord record) {
    String other = record.otherInput();
    if (other != null) {
      return "chosen on " + Labels.clean(record.input()) + ", judged on " + Labels.clean(other);
    }
    return record.heads() == 1
        ? "one head only: judged where they were chosen"
        : "chosen on the even heads, judged on the odd ones";
  }

  private static PhaseDiagram measured(Panel panel) {
    List<Frontier> frontiers = new ArrayList<>();
    for (int n : panel.lengths()) {
      int tried = (int) candidates(panel).filter(s -> s.at(n).isPresent()).count();
      frontiers.add(frontier(panel, n, PhaseDiagram::own, tried));
    }
    return new PhaseDiagram(
        PhaseFace.ERROR,
        "",
        panel,
        false,
        "error measured where it was chosen",
        PERMITTED,
        frontiers);
  }

  /// Errors of a setting on both parts.
  private record Errors(Interval chosen, @Nullable Interval other) {}

  private interface ErrorsOf {
    @Nullable Errors of(Point point);
  }

  private static @Nullable Errors own(Point point) {
    double error = point.errorHigh();
    return Double.isNaN(error) ? null : new Errors(new Interval(error, error, error), null);
  }

  private static Stream<Series> candidates(Panel panel) {
    return panel.series().stream()
        .filter(s -> s.approximates() == Approximates.SOFTMAX)
        .filter(s -> Labels.target(s.mechanism()).isEmpty());
  }

  private static Frontier frontier(Panel panel, int n, ErrorsOf errors, int tried) {
    Optional<Sample> exact =
        panel.baseline(BASELINE).flatMap(s -> s.at(n)).flatMap(PhaseDiagram::sample);
    List<Entry> entries = new ArrayList<>();
    exact.ifPresent(
        baseline ->
            candidates(panel)
                .forEach(
                    series ->
                        series
                            .at(n)
                            .ifPresent(
                                point -> {
                                  Errors both = errors.of(point);
                                  Optional<Sample> time = sample(point);
                                  if (both != null && time.isPresent()) {
                                    entries.add(
                                        new Entry(
                                            series.label(),
                                            series.mechanism(),
                                            series.spec(),
                                            time.get(),
                                            Ratio.of(baseline, time.get()),
                                            both.chosen,
                                            both.other));
                                  }
                                })));
    return new Frontier(n, exact, EXACT, entries, tried);
  }

  static Optional<Sample> sample(Point point) {
    List<Double> medians = point.forkMedians();
    return medians.isEmpty() ? Optional.empty() : Optional.of(new Sample(point.n(), medians));
  }

  /// The lengths, ascending.
  public List<Integer> lengths() {
    return frontiers.stream().map(Frontier::n).toList();
  }

  /// The permitted errors, or what required accuracies leave to 1, from the top of the diagram to
  /// its bottom.
  public List<Double> downward() {
    return face.downward(errors);
  }

  /// The cells of one permitted error, by length.
  public List<Cell> row(double error) {
    return frontiers.stream().map(f -> f.cell(error)).toList();
  }

  /// The frontier of a cell.
  public Frontier at(Cell cell) {
    return frontiers.stream().filter(f -> f.n() == cell.n()).findFirst().orElseThrow();
  }

  /// Every mechanism that colours a cell, in the catalogue's order.
  public List<String> mechanisms() {
    Set<String> names = new LinkedHashSet<>();
    for (double error : errors) {
      for (Cell cell : row(error)) {
        if (cell.best() != null) {
          names.add(cell.best().mechanism());
        }
        if (cell.kind() == Frontier.Kind.TIE && cell.runnerUp() != null) {
          names.add(cell.runnerUp().mechanism());
        }
      }
    }
    return names.stream().sorted(Comparator.comparingInt(Labels::order)).toList();
  }

  /// For example `Forward pass, causal · captured`.
  public String title() {
    return task.isEmpty() ? panel.title() : task + " · " + panel.title();
  }

  /// How settings were found and judged, and what is left out.
  public String how() {
    int tried = frontiers.stream().mapToInt(Frontier::tried).sum();
    int timed = frontiers.stream().mapToInt(f -> f.entries().size()).sum();
    int unsteady = panel.unsteady().size();
    if (face == PhaseFace.ACCURACY) {
      return parts + "." + leftOut(unsteady);
    }
    return (tuned
            ? tried
                + " pairs of a setting and a length were tried by their error, "
                + timed
                + " timed; settings "
            : timed + " pairs of a setting and a length, as measured, not searched; ")
        + parts
        + "."
        + leftOut(unsteady);
  }

  private static String leftOut(int unsteady) {
    return unsteady == 0
        ? ""
        : " Left out, as never steady when timed: "
            + unsteady
            + (unsteady == 1 ? " point." : " points.");
  }
}
