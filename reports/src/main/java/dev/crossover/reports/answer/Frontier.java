// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.error.HeadErrors.Interval;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import org.jspecify.annotations.Nullable;

/// Settings at one length under one mask, with their errors and how much faster than exact
/// attention they are.
///
/// @param n sequence length
/// @param exact time of the optimised exact baseline; absent where it was not timed
/// @param missed error of exact attention: zero, or what its accuracy on a task leaves to 1
/// @param entries settings that were timed and steady, fastest first
/// @param tried number of settings whose error was computed
public record Frontier(
    int n, Optional<Sample> exact, Interval missed, List<Entry> entries, int tried) {

  /// Sorts the entries.
  public Frontier {
    entries = entries.stream().sorted(Comparator.comparingDouble(Entry::seconds)).toList();
  }

  /// A setting that was timed.
  ///
  /// @param label how it is called
  /// @param mechanism name in the catalogue
  /// @param spec as on the command line
  /// @param time medians of its forks
  /// @param speedUp how many times faster than the exact baseline
  /// @param chosen error where settings are chosen
  /// @param other error on the part that had no say in the choice; absent where there is none
  public record Entry(
      String label,
      String mechanism,
      String spec,
      Sample time,
      Ratio speedUp,
      Interval chosen,
      @Nullable Interval other) {

    /// Median over forks.
    public double seconds() {
      return time.median();
    }

    /// Whether it is within an error where it was chosen, but not for certain on the other part.
    public boolean onlyWhereChosen(double error) {
      return chosen.within(error) && other != null && !other.within(error);
    }

    /// Whether it is within an error on both parts.
    public boolean holdsOnBoth(double error) {
      return chosen.within(error) && other != null && other.within(error);
    }

    /// The larger upper end of the errors on both parts.
    public double worst() {
      return other == null ? chosen.high() : Math.max(chosen.high(), other.high());
    }

    boolean surelyFaster() {
      return speedUp.hasInterval() && speedUp.above(1);
    }

    private boolean maybeFaster() {
      return speedUp.hasInterval() ? speedUp.high() > 1 : speedUp.value() > 1;
    }
  }

  /// What is known of a cell of the diagram.
  public enum Kind {
    /// One mechanism is the fastest for certain.
    FASTEST,
    /// Several mechanisms are faster than exact attention, and intervals do not tell which of them
    /// is the fastest.
    TIE,
    /// Something may be faster than exact attention, but intervals do not decide it.
    UNDECIDED,
    /// Exact attention: nothing within the error is faster.
    EXACT,
    /// Something may be within the error, but intervals do not decide it; exact attention is not.
    PERHAPS,
    /// Nothing is within the error, exact attention neither.
    NONE,
    /// Exact attention was not timed, so nothing can be said.
    MISSING
  }

  /// The answer for one permitted error.
  ///
  /// @param n sequence length
  /// @param error permitted error
  /// @param kind what is known
  /// @param best the fastest setting within the error where it was chosen; where exact attention is
  ///     the answer, absent
  /// @param runnerUp the next: the fastest of another mechanism where there is one, otherwise
  ///     another setting; absent where that is exact attention
  /// @param holding the fastest that is within the error on both parts and faster than exact
  ///     attention for certain, where the best is not
  public record Cell(
      int n,
      double error,
      Kind kind,
      @Nullable Entry best,
      @Nullable Entry runnerUp,
      @Nullable Entry holding) {

    /// Whether the best holds only where it was chosen.
    public boolean onlyWhereChosen() {
      return best != null && best.onlyWhereChosen(error);
    }
  }

  /// The fastest setting within an error. Only the part on which settings are chosen has a say in
  /// the choice.
  public Cell cell(double error) {
    if (exact.isEmpty()) {
      return new Cell(n, error, Kind.MISSING, null, null, null);
    }
    List<Entry> within = entries.stream().filter(e -> e.chosen().within(error)).toList();
    if (!missed.within(error)) {
      return withoutExact(error, within);
    }
    List<Entry> certain = within.stream().filter(Entry::surelyFaster).toList();
    if (!certain.isEmpty()) {
      Entry best = certain.getFirst();
      Optional<Entry> rival = rival(within, best);
      boolean tie =
          rival.isPresent()
              && rival.get().maybeFaster()
              && !Ratio.of(rival.get().time(), best.time()).above(1);
      Entry holding =
          best.onlyWhereChosen(error)
              ? certain.stream().filter(e -> e.holdsOnBoth(error)).findFirst().orElse(null)
              : null;
      return new Cell(
          n,
          error,
          tie ? Kind.TIE : Kind.FASTEST,
          best,
          rival.or(() -> next(within, best)).orElse(null),
          holding);
    }
    Optional<Entry> open =
        entries.stream()
            .filter(
                e ->
                    e.chosen().within(error) && e.maybeFaster()
                        || e.chosen().holds(error) && e.surelyFaster())
            .findFirst();
    if (open.isPresent()) {
      return new Cell(
          n, error, Kind.UNDECIDED, open.get(), next(within, open.get()).orElse(null), null);
    }
    return new Cell(n, error, Kind.EXACT, null, within.stream().findFirst().orElse(null), null);
  }

  /// The answer where exact attention is not within the error for certain: the fastest that is.
  private Cell withoutExact(double error, List<Entry> within) {
    if (within.isEmpty()) {
      Optional<Entry> open = entries.stream().filter(e -> e.chosen().holds(error)).findFirst();
      Kind kind =
          missed.holds(error) ? Kind.UNDECIDED : open.isPresent() ? Kind.PERHAPS : Kind.NONE;
      return new Cell(n, error, kind, open.orElse(null), null, null);
    }
    Entry best = within.getFirst();
    Optional<Entry> rival = rival(within, best);
    boolean tie = rival.isPresent() && !Ratio.of(rival.get().time(), best.time()).above(1);
    boolean open = missed.holds(error) && !best.surelyFaster();
    return new Cell(
        n,
        error,
        open ? Kind.UNDECIDED : tie ? Kind.TIE : Kind.FASTEST,
        best,
        rival.or(() -> next(within, best)).orElse(null),
        null);
  }

  private static Optional<Entry> rival(List<Entry> within, Entry best) {
    return within.stream().filter(e -> !e.mechanism().equals(best.mechanism())).findFirst();
  }

  private static Optional<Entry> next(List<Entry> within, Entry best) {
    return within.stream().filter(e -> !e.spec().equals(best.spec())).findFirst();
  }

  /// The settings of which none is both faster and more accurate where settings are chosen, fastest
  /// first.
  public List<Entry> front() {
    List<Entry> front = new ArrayList<>();
    double best = Double.POSITIVE_INFINITY;
    for (Entry entry : entries) {
      if (entry.chosen().error() < best) {
        front.add(entry);
        best = entry.chosen().error();
      }
    }
    return front;
  }

  /// Seconds of the exact baseline; NaN where it was not timed.
  public double exactSeconds() {
    return exact.map(Sample::median).orElse(Double.NaN);
  }

  /// The best of a cell that has one.
  static Entry best(Cell cell) {
    return Objects.requireNonNull(cell.best(), "a cell with a mechanism");
  }
}
