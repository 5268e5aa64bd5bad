// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.Attention;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.models.mixed.Mixed;
import dev.crossover.reports.answer.Frontier.Entry;
import dev.crossover.variants.Catalogue;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Objects;
import java.util.Optional;
import java.util.Set;

/// What `crossover tune --per-head` found for a [PhaseDiagram]: the settings of each head beside
/// the head's entropy, and whether a mix wins where no single setting does.
///
/// @param lines the answer in sentences; none where settings were not sought by head
/// @param rows one for each head of each mix that is the best within some permitted error
public record HeadMixes(List<String> lines, List<Row> rows) {

  /// One head of a mix.
  ///
  /// @param n sequence length
  /// @param error the smallest permitted error for which the mix is the best one
  /// @param head number of the head
  /// @param entropy of the head's exact weights in nats; NaN where it is not known
  /// @param setting what the head runs
  /// @param headError relative error of the head where settings are chosen
  /// @param speedUp how many times faster than the exact baseline the whole mix is; absent where it
  ///     was not timed
  public record Row(
      int n,
      double error,
      int head,
      double entropy,
      String setting,
      double headError,
      Optional<Ratio> speedUp) {}

  /// Copies the lists.
  public HeadMixes {
    lines = List.copyOf(lines);
    rows = List.copyOf(rows);
  }

  /// What records say about the problems of a diagram.
  ///
  /// @param front records of errors, of any problems
  public static HeadMixes of(PhaseDiagram diagram, List<FrontRecord> front) {
    if (!diagram.tuned()) {
      return new HeadMixes(List.of(), List.of());
    }
    List<FrontRecord> own =
        front.stream()
            .filter(f -> PhaseDiagram.matches(f, diagram.panel()))
            .filter(f -> PhaseDiagram.parts(f).equals(diagram.parts()))
            .toList();
    List<FrontRecord> mixes = own.stream().filter(f -> isMix(f.mechanism())).toList();
    if (mixes.isEmpty() && own.stream().allMatch(f -> f.entropy() == null)) {
      return new HeadMixes(List.of(), List.of());
    }
    List<Row> rows = new ArrayList<>();
    for (Frontier frontier : diagram.frontiers()) {
      rows(frontier, diagram.errors(), own, rows);
    }
    return new HeadMixes(lines(diagram, mixes.size()), rows);
  }

  private static boolean isMix(String mechanism) {
    return mechanism.equals(Mixed.NAME);
  }

  private static List<String> lines(PhaseDiagram diagram, int tried) {
    if (tried == 0) {
      return List.of(
          "Settings were sought for each head, too: by estimates no mix is cheaper than one setting"
              + " for all heads.");
    }
    List<String> alone = new ArrayList<>();
    List<String> faster = new ArrayList<>();
    int timed = 0;
    for (Frontier frontier : diagram.frontiers()) {
      timed += (int) frontier.entries().stream().filter(e -> isMix(e.mechanism())).count();
      for (double error : diagram.errors()) {
        Optional<Entry> mix = fastest(frontier, error, true);
        if (mix.isEmpty() || !mix.get().surelyFaster()) {
          continue;
        }
        Optional<Entry> single = fastest(frontier, error, false);
        if (single.isEmpty() || !single.get().surelyFaster()) {
          alone.add(cell(frontier, error, mix.get(), mix.get().speedUp()));
        } else {
          Ratio gain = Ratio.of(single.get().time(), mix.get().time());
          if (gain.above(1)) {
            faster.add(cell(frontier, error, mix.get(), gain));
          }
        }
      }
    }
    if (timed == 0) {
      return List.of(
          tried
              + (tried == 1 ? " mix" : " mixes")
              + " of settings by head tried by error; none was timed and steady, so whether a mix"
              + " wins is not known.");
    }
    return List.of(
        alone.isEmpty()
            ? "No mix of settings by head is faster than exact attention where no single setting"
                + " is."
            : "A mix of settings by head is faster than exact attention where no single setting is:"
                + " "
                + String.join("; ", alone)
                + ".",
        faster.isEmpty()
            ? "Nowhere is a mix faster than the fastest single setting with its whole interval."
            : "A mix is faster than the fastest single setting with its whole interval: "
                + String.join("; ", faster)
                + ".");
  }

  /// The fastest mix, or single setting, that is within an error and, where there are any, surely
  /// faster than exact attention.
  private static Optional<Entry> fastest(Frontier frontier, double error, boolean mix) {
    return frontier.entries().stream()
        .filter(e -> isMix(e.mechanism()) == mix && e.chosen().within(error))
        .min(
            Comparator.comparing((Entry e) -> !e.surelyFaster())
                .thenComparingDouble(Entry::seconds));
  }

  private static String cell(Frontier frontier, double error, Entry mix, Ratio ratio) {
    return "n = "
        + Wording.length(frontier.n())
        + " within "
        + PhaseFace.ERROR.level(error)
        + ", "
        + ratio.words(1)
        + " times"
        + (mix.onlyWhereChosen(error) ? ", but only where it was chosen" : "");
  }

  private static void rows(
      Frontier frontier, List<Double> errors, List<FrontRecord> own, List<Row> rows) {
    List<FrontRecord> here = own.stream().filter(f -> f.n() == frontier.n()).toList();
    Set<String> shown = new HashSet<>();
    for (double error : errors) {
      Optional<FrontRecord> best =
          here.stream()
              .filter(f -> isMix(f.mechanism()) && f.chosen().within(error))
              .min(Comparator.comparingDouble(f -> cost(frontier, f)));
      if (best.isPresent() && shown.add(best.get().spec())) {
        FrontRecord mix = best.get();
        List<Double> entropy =
            here.stream()
                .filter(f -> f.entropy() != null && f.seed() == mix.seed())
                .map(f -> Objects.requireNonNull(f.entropy()))
                .findFirst()
                .orElse(List.of());
        List<Attention> heads = Mixed.parse(mix.spec().substring(Mixed.NAME.length() + 1)).heads();
        Optional<Ratio> speedUp = timed(frontier, mix).map(Entry::speedUp);
        for (int h = 0; h < mix.perHead().size(); h++) {
          rows.add(
              new Row(
                  frontier.n(),
                  error,
                  h,
                  h < entropy.size() ? entropy.get(h) : Double.NaN,
                  Catalogue.describe(heads.get(h % heads.size())),
                  mix.perHead().get(h),
                  speedUp));
        }
      }
    }
  }

  /// Measured time where there is one; mixes without come after all others, by estimates.
  private static double cost(Frontier frontier, FrontRecord mix) {
    return timed(frontier, mix)
        .map(Entry::seconds)
        .orElse(1e9 * (1 + (mix.seconds() == null ? 1e9 : mix.seconds())));
  }

  private static Optional<Entry> timed(Frontier frontier, FrontRecord mix) {
    return frontier.entries().stream()
        .filter(e -> e.spec().equals(mix.spec()) && e.chosen().equals(mix.chosen()))
        .findFirst();
  }
}
