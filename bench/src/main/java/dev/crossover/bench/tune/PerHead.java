// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import dev.crossover.attention.Attention;
import dev.crossover.models.mixed.Mixed;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.List;
import java.util.Objects;
import java.util.Optional;

/// The cheapest assignment of settings to heads whose root mean square error over the heads stays
/// within a permitted one.
///
/// Squared errors add up over heads, and so, about, do times: a setting takes on one head its share
/// of what it takes on all. So this is a knapsack with one choice per head, solved by dynamic
/// programming over a grid of the budget of squared error. Errors are rounded up to the grid, so
/// that the budget holds; the same with errors rounded down bounds from below what any assignment
/// takes.
public final class PerHead {
  private static final int GRID = 2000;

  /// An assignment.
  ///
  /// @param specs one setting for each head
  /// @param seconds what they take together, about
  /// @param least no assignment within the budget takes less, by the same estimates
  public record Assignment(List<String> specs, double seconds, double least) {
    /// The mechanism of all heads.
    public String spec() {
      List<Attention> heads = specs.stream().map(Catalogue::parse).toList();
      return Mixed.NAME + ":" + new Mixed(heads).text();
    }

    /// Whether heads differ.
    public boolean mixes() {
      return specs.stream().distinct().count() > 1;
    }
  }

  /// A setting on one head: its share of the budget and its time.
  private record Choice(String spec, double squared, double seconds) {}

  private PerHead() {}

  /// The best assignment.
  ///
  /// @param records settings of one problem with the errors of each head, the exact baseline among
  ///     them; those without a time, or that cannot stand in a mix, are left out
  /// @param error permitted root mean square over heads
  /// @return nothing where the budget cannot be held
  public static Optional<Assignment> best(List<FrontRecord> records, double error) {
    List<FrontRecord> usable =
        records.stream().filter(r -> r.seconds() != null && mixable(r.spec())).toList();
    if (usable.isEmpty()) {
      return Optional.empty();
    }
    int heads = usable.getFirst().perHead().size();
    double budget = heads * error * error;
    List<List<Choice>> choices = new ArrayList<>();
    for (int h = 0; h < heads; h++) {
      choices.add(choices(usable, h, heads));
    }
    Solution above = solve(choices, budget, true);
    if (above.specs.isEmpty()) {
      return Optional.empty();
    }
    double least = solve(choices, budget, false).seconds;
    return Optional.of(new Assignment(above.specs, above.seconds, Math.min(least, above.seconds)));
  }

  private static boolean mixable(String spec) {
    try {
      return !new Mixed(List.of(Catalogue.parse(spec))).heads().isEmpty();
    } catch (IllegalArgumentException e) {
      return false;
    }
  }

  /// What a head may run, none of it both slower and less accurate than another, fastest first.
  private static List<Choice> choices(List<FrontRecord> records, int head, int heads) {
    List<Choice> all =
        records.stream()
            .map(
                r -> {
                  double e = r.perHead().get(head);
                  return new Choice(r.spec(), e * e, Objects.requireNonNull(r.seconds()) / heads);
                })
            .filter(c -> Double.isFinite(c.squared))
            .sorted(
                Comparator.comparingDouble(Choice::seconds).thenComparingDouble(Choice::squared))
            .toList();
    List<Choice> front = new ArrayList<>();
    double best = Double.POSITIVE_INFINITY;
    for (Choice choice : all) {
      if (choice.squared < best) {
        front.add(choice);
        best = choice.squared;
      }
    }
    return front;
  }

  private record Solution(List<String> specs, double seconds) {}

  private static Solution solve(List<List<Choice>> choices, double budget, boolean up) {
    int heads = choices.size();
    int[][] chosen = new int[heads][GRID + 1];
    int[][] before = new int[heads][GRID + 1];
    double[] least = new double[GRID + 1];
    Arrays.fill(least, Double.POSITIVE_INFINITY);
    least[0] = 0;
    for (int h = 0; h < heads; h++) {
      double[] next = new double[GRID + 1];
      Arrays.fill(next, Double.POSITIVE_INFINITY);
      List<Choice> own = choices.get(h);
      for (int c = 0; c < own.size(); c++) {
        double share = own.get(c).squared / budget * GRID;
        double weight = up ? Math.ceil(share) : Math.floor(share);
        for (int used = 0; used + weight <= GRID; used++) {
          int to = used + (int) weight;
          double seconds = least[used] + own.get(c).seconds;
          if (seconds < next[to]) {
            next[to] = seconds;
            chosen[h][to] = c;
            before[h][to] = used;
          }
        }
      }
      least = next;
    }
    int at = 0;
    for (int used = 1; used <= GRID; used++) {
      at = least[used] < least[at] ? used : at;
    }
    double seconds = least[at];
    if (Double.isInfinite(seconds)) {
      return new Solution(List.of(), seconds);
    }
    String[] specs = new String[heads];
    for (int h = heads - 1; h >= 0; h--) {
      specs[h] = choices.get(h).get(chosen[h][at]).spec;
      at = before[h][at];
    }
    return new Solution(List.of(specs), seconds);
  }
}
