// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.Frontier.Cell;
import dev.crossover.reports.answer.Frontier.Entry;
import dev.crossover.reports.answer.Frontier.Kind;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// What two runs of `crossover tune` picked, cell by cell: whether another seed leads to settings
/// that take about the same time.
///
/// A cell's pick is the fastest setting within its permitted error where settings are chosen; exact
/// attention where none is faster for certain.
///
/// @param within largest relative difference of times that counts as the same
/// @param cells those that both runs answer, by diagram, permitted error and length
/// @param unmatched cells that only one of them answers
public record TunedComparison(double within, List<Pair> cells, int unmatched) {

  /// The pick of one run.
  ///
  /// @param spec the setting
  /// @param seconds median over forks
  /// @param speedUp how many times faster than the exact baseline of the same run
  public record Pick(String spec, double seconds, Ratio speedUp) {}

  /// A cell in both runs.
  ///
  /// @param title mask and input, as the diagram is called
  /// @param mask the mask
  /// @param n sequence length
  /// @param error permitted error
  /// @param before pick of the first run
  /// @param after pick of the second run
  /// @param time how many times as long the second pick takes
  /// @param exact the same of the exact baseline: what the machine did between the runs
  /// @param sameSetting whether the picks differ in nothing but seeds
  public record Pair(
      String title,
      String mask,
      int n,
      double error,
      Pick before,
      Pick after,
      Ratio time,
      Ratio exact,
      boolean sameSetting) {

    /// Whether the medians differ by less than a share, whichever is the larger.
    public boolean differsByLess(double share) {
      return Math.max(time.value(), 1 / time.value()) < 1 + share;
    }

    /// Whether the whole interval says so.
    public boolean surelyDiffersByLess(double share) {
      return time.below(1 + share) && time.above(1 / (1 + share));
    }
  }

  /// Copies the list.
  ///
  /// @throws IllegalArgumentException if `within` is not above zero
  public TunedComparison {
    if (!(within > 0)) {
      throw new IllegalArgumentException("within must be > 0, but was " + within);
    }
    cells = List.copyOf(cells);
  }

  /// The records of one run.
  ///
  /// @param results of times
  /// @param front of errors
  public record Run(List<ResultRecord> results, List<FrontRecord> front) {
    private List<PhaseDiagram> diagrams() {
      return PhaseDiagram.of(results, front).stream().filter(PhaseDiagram::tuned).toList();
    }
  }

  /// Compares two runs.
  public static TunedComparison of(Run before, Run after, double within) {
    List<PhaseDiagram> others = after.diagrams();
    List<Pair> cells = new ArrayList<>();
    int answered = 0;
    for (PhaseDiagram diagram : before.diagrams()) {
      answered += answers(diagram);
      others.stream()
          .filter(other -> sameProblem(diagram, other))
          .findFirst()
          .ifPresent(other -> pairs(diagram, other, cells));
    }
    answered += others.stream().mapToInt(TunedComparison::answers).sum();
    return new TunedComparison(within, cells, answered - 2 * cells.size());
  }

  private static int answers(PhaseDiagram diagram) {
    int answers = 0;
    for (double error : diagram.errors()) {
      answers += (int) diagram.row(error).stream().filter(c -> c.kind() != Kind.MISSING).count();
    }
    return answers;
  }

  private static boolean sameProblem(PhaseDiagram a, PhaseDiagram b) {
    return a.title().equals(b.title())
        && a.panel().sizes().equals(b.panel().sizes())
        && a.parts().equals(b.parts());
  }

  private static void pairs(PhaseDiagram a, PhaseDiagram b, List<Pair> cells) {
    for (double error : a.downward()) {
      if (!b.errors().contains(error)) {
        continue;
      }
      for (Cell cell : a.row(error)) {
        b.row(error).stream()
            .filter(other -> other.n() == cell.n())
            .filter(other -> other.kind() != Kind.MISSING && cell.kind() != Kind.MISSING)
            .findFirst()
            .ifPresent(other -> cells.add(pair(a, cell, b, other)));
      }
    }
  }

  private static Pair pair(PhaseDiagram a, Cell cell, PhaseDiagram b, Cell other) {
    Sample exactBefore = a.at(cell).exact().orElseThrow();
    Sample exactAfter = b.at(other).exact().orElseThrow();
    Optional<Entry> before = winner(cell);
    Optional<Entry> after = winner(other);
    Sample timeBefore = before.map(Entry::time).orElse(exactBefore);
    Sample timeAfter = after.map(Entry::time).orElse(exactAfter);
    Pick first = pick(before, timeBefore);
    Pick second = pick(after, timeAfter);
    return new Pair(
        a.title(),
        a.panel().key().mask(),
        cell.n(),
        cell.error(),
        first,
        second,
        Ratio.of(timeAfter, timeBefore),
        Ratio.of(exactAfter, exactBefore),
        seedless(first.spec()).equals(seedless(second.spec())));
  }

  private static Optional<Entry> winner(Cell cell) {
    return cell.kind() == Kind.FASTEST || cell.kind() == Kind.TIE
        ? Optional.ofNullable(cell.best())
        : Optional.empty();
  }

  private static Pick pick(Optional<Entry> entry, Sample time) {
    return new Pick(
        entry.map(Entry::spec).orElse(PhaseDiagram.BASELINE),
        time.median(),
        entry.map(Entry::speedUp).orElse(Ratio.exact(1)));
  }

  /// A spec without the seeds in it.
  private static String seedless(String spec) {
    return spec.replaceAll(",seed=-?\\d+", "")
        .replaceAll(":seed=-?\\d+,", ":")
        .replaceAll(":seed=-?\\d+", "");
  }

  /// Number of cells whose medians differ by less than the share.
  public int same() {
    return (int) cells.stream().filter(c -> c.differsByLess(within)).count();
  }

  /// Number of cells whose whole interval says that times differ by less than the share.
  public int surelySame() {
    return (int) cells.stream().filter(c -> c.surelyDiffersByLess(within)).count();
  }

  /// Number of cells in which both runs picked the same setting.
  public int sameSettings() {
    return (int) cells.stream().filter(Pair::sameSetting).count();
  }
}
