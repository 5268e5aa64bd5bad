// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Objects;
import java.util.Optional;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/// A panel's answers in words: gains and refusals alike, never a speed without its error.
///
/// Gains with little error come first, one sentence each; then in one sentence each kind: gains
/// with more error, gains of mechanisms that approximate another softmax or none, gains that are
/// lost again, and no gains.
///
/// @param lines at most three short sentences that say it all to who reads nothing else
/// @param findings every mechanism in words, most useful first
public record Headlines(List<String> lines, List<Finding> findings) {

  /// One sentence.
  ///
  /// @param subject the mechanism it starts with, or empty
  /// @param text the rest, with its leading space when there is a subject
  public record Finding(String subject, String text) {
    /// The whole sentence.
    public String sentence() {
      return subject + text;
    }
  }

  /// Error up to which a gain counts as usable.
  public static final double SMALL_ERROR = 0.1;

  private static final Map<String, String> BASELINE_WORDS =
      Map.of("tiled", "tiled exact attention", "materialised", "materialised exact attention");

  /// Copies the lists.
  public Headlines {
    lines = List.copyOf(lines);
    findings = List.copyOf(findings);
  }

  /// Puts a panel's answers into words.
  public static Headlines of(PanelAnswer answer) {
    String main =
        PanelAnswer.BASELINES.stream()
            .filter(b -> answer.panel().baseline(b).isPresent())
            .findFirst()
            .orElse("");
    if (main.isEmpty()) {
      return new Headlines(
          List.of("No exact baseline was measured here, so there is no crossover to state."),
          List.of());
    }
    List<Finding> findings = new ArrayList<>(against(answer, main));
    for (String baseline : PanelAnswer.BASELINES) {
      if (!baseline.equals(main)) {
        summary(answer, main, baseline).ifPresent(t -> findings.add(new Finding("", t)));
      }
    }
    memory(answer).ifPresent(t -> findings.add(new Finding("", t)));
    return new Headlines(lines(answer, main), findings);
  }

  private static List<String> lines(PanelAnswer answer, String baseline) {
    List<SeriesAnswer> rivals = rivals(answer, baseline);
    if (rivals.isEmpty()) {
      return List.of("Only exact attention was measured here.");
    }
    List<SeriesAnswer> winners = winners(answer, baseline);
    String against = words(answer, baseline);
    String reach = at(answer) + Wording.length(largest(rivals, baseline));
    String limit = Wording.percent(SMALL_ERROR);
    String error = answer.panel().view().error();
    if (winners.isEmpty()) {
      return List.of(
          "Nothing measured here beats " + against + " at " + reach + ": use exact attention.");
    }
    String count =
        winners.size()
            + " of "
            + rivals.size()
            + (rivals.size() == 1 ? " setting" : " settings")
            + (winners.size() == 1 ? " is" : " are")
            + " faster at "
            + reach;
    List<SeriesAnswer> good = winners.stream().filter(Headlines::goodAtTheEnd).toList();
    if (!good.isEmpty()) {
      SeriesAnswer first = good.getFirst();
      List<String> lines = new ArrayList<>();
      lines.add(
          first.series().label()
              + " beats "
              + against
              + " "
              + fromWords(answer, first.timeAgainst(baseline))
              + (good.size() == 1 ? "" : ", the first with at most " + limit + " " + error)
              + ".");
      lines.add(
          count
              + ", "
              + (good.size() == winners.size() ? "all " : "")
              + good.size()
              + " with at most "
              + limit
              + " "
              + error
              + " there.");
      fastest(answer, good, baseline).ifPresent(lines::add);
      return lines;
    }
    if (winners.stream().allMatch(s -> s.errorFrom(0).isEmpty())) {
      return List.of(
          winners.getFirst().series().label()
              + " beats "
              + against
              + " "
              + fromWords(answer, winners.getFirst().timeAgainst(baseline))
              + ", the first of all.",
          count + "; the error of none of them was measured here.");
    }
    boolean elsewhere = winners.stream().anyMatch(Headlines::aimsElsewhere);
    List<String> lines = new ArrayList<>();
    lines.add(
        "Nothing here beats "
            + against
            + " at "
            + reach
            + " with at most "
            + limit
            + " "
            + error
            + (elsewhere ? " against softmax over the given queries and keys" : "")
            + ".");
    lines.add(count + ", each with more " + error + " or computing something else.");
    winners.stream()
        .filter(s -> usable(s, baseline))
        .max(Comparator.comparingInt(s -> tooWrongFrom(s, baseline)))
        .ifPresent(
            s ->
                lines.add(
                    s.series().label()
                        + " is the last to exceed "
                        + limit
                        + ", from "
                        + at(answer)
                        + Wording.length(tooWrongFrom(s, baseline))
                        + "."));
    return lines;
  }

  /// The fastest of some winners at the largest length that it shares with the baseline.
  private static Optional<String> fastest(
      PanelAnswer answer, List<SeriesAnswer> winners, String baseline) {
    Optional<Curve> exact = answer.panel().baseline(baseline).flatMap(Series::time);
    int n = winners.stream().mapToInt(s -> s.timeAgainst(baseline).largest()).max().orElseThrow();
    return winners.stream()
        .filter(s -> exact.isPresent() && s.timeAgainst(baseline).largest() == n)
        .min(Comparator.comparingDouble(s -> s.series().at(n).orElseThrow().seconds()))
        .map(
            s ->
                "Fastest of those there: "
                    + s.series().label()
                    + ", "
                    + Ratio.of(exact.orElseThrow(), s.series().time().orElseThrow(), n).words()
                    + " times, at "
                    + errorWords(s, n)
                    + ".");
  }

  private static List<Finding> against(PanelAnswer answer, String baseline) {
    String words = words(answer, baseline);
    List<Finding> findings = new ArrayList<>();
    List<SeriesAnswer> winners = winners(answer, baseline);
    List<SeriesAnswer> rough = new ArrayList<>();
    List<SeriesAnswer> unmeasured = new ArrayList<>();
    List<SeriesAnswer> elsewhere = new ArrayList<>();
    List<SeriesAnswer> other = new ArrayList<>();
    for (SeriesAnswer winner : winners) {
      if (winner.series().approximates() == Approximates.NONE) {
        other.add(winner);
      } else if (aimsElsewhere(winner)) {
        elsewhere.add(winner);
      } else if (winner.errorFrom(from(winner, baseline)).isEmpty()) {
        unmeasured.add(winner);
      } else if (usable(winner, baseline)) {
        findings.add(gain(answer, winner, baseline));
      } else {
        rough.add(winner);
      }
    }
    list(
        findings,
        "Faster, but with more than "
            + Wording.percent(SMALL_ERROR)
            + " "
            + answer.panel().view().error()
            + ": ",
        rough.stream()
            .map(
                s ->
                    s.series().label()
                        + " "
                        + fromWords(answer, s.timeAgainst(baseline))
                        + ", "
                        + errorWords(s, from(s, baseline))));
    list(
        findings,
        "Faster, but close to something other than softmax over the given queries and keys: ",
        elsewhere.stream()
            .map(
                s ->
                    s.series().label()
                        + " "
                        + fromWords(answer, s.timeAgainst(baseline))
                        + ", "
                        + errorWords(s, from(s, baseline))
                        + " against "
                        + Labels.target(s.series().mechanism())));
    list(
        findings,
        "Faster, but with an error that was not measured here: ",
        unmeasured.stream()
            .map(s -> s.series().label() + " " + fromWords(answer, s.timeAgainst(baseline))));
    list(
        findings,
        "Faster, but computing something other than softmax attention, so that no error applies: ",
        other.stream()
            .map(s -> s.series().label() + " " + fromWords(answer, s.timeAgainst(baseline))));
    list(
        findings,
        "Faster than " + words + " only in between, not at the largest length: ",
        labels(rivals(answer, baseline), baseline, Crossover.Kind.LOST_AGAIN));
    List<SeriesAnswer> rivals = rivals(answer, baseline);
    if (!rivals.isEmpty()) {
      list(
          findings,
          "Not faster than "
              + words
              + " by "
              + at(answer)
              + Wording.length(largest(rivals, baseline))
              + ": ",
          labels(rivals, baseline, Crossover.Kind.NOT_REACHED));
    }
    return findings;
  }

  private static Finding gain(PanelAnswer answer, SeriesAnswer winner, String baseline) {
    Crossover crossover = winner.timeAgainst(baseline);
    return new Finding(
        winner.series().label(),
        " is faster than "
            + words(answer, baseline)
            + " "
            + fromWords(answer, crossover)
            + ", at "
            + errorWords(winner, from(winner, baseline))
            + (goodAtTheEnd(winner)
                ? "."
                : ", more than "
                    + Wording.percent(SMALL_ERROR)
                    + " from "
                    + at(answer)
                    + Wording.length(tooWrongFrom(winner, baseline))
                    + ".")
            + several(crossover));
  }

  private static void list(List<Finding> findings, String start, Stream<String> items) {
    String joined = items.collect(Collectors.joining("; "));
    if (!joined.isEmpty()) {
      findings.add(new Finding("", start + joined + "."));
    }
  }

  private static Stream<String> labels(
      List<SeriesAnswer> answers, String baseline, Crossover.Kind kind) {
    return answers.stream()
        .filter(s -> s.timeAgainst(baseline).kind() == kind)
        .map(s -> s.series().label());
  }

  /// The other baseline: how it compares with the main one, and how many settings beat it.
  private static Optional<String> summary(PanelAnswer answer, String main, String baseline) {
    List<SeriesAnswer> rivals = rivals(answer, baseline);
    Optional<SeriesAnswer> exact =
        answer.series().stream()
            .filter(s -> s.series().mechanism().equals(main) && s.time().containsKey(baseline))
            .findFirst();
    if (exact.isEmpty()) {
      return Optional.empty();
    }
    Crossover crossover = exact.get().timeAgainst(baseline);
    String words = words(answer, baseline);
    String own =
        wins(exact.get(), baseline)
            ? capital(words(answer, main))
                + " is faster than "
                + words
                + " "
                + fromWords(answer, crossover)
            : capital(words(answer, main))
                + " is not faster than "
                + words
                + " by "
                + at(answer)
                + Wording.length(crossover.largest());
    String others =
        rivals.isEmpty()
            ? ""
            : "; against that usual baseline of papers "
                + winners(answer, baseline).size()
                + " of "
                + rivals.size()
                + (rivals.size() == 1 ? " setting wins" : " settings win")
                + ", each with its error in the table";
    return Optional.of(own + ", and is just as exact" + others + ".");
  }

  private static Optional<String> memory(PanelAnswer answer) {
    int largest = answer.panel().lengths().getLast();
    String list =
        PanelAnswer.BASELINES.stream()
            .flatMap(b -> answer.panel().baseline(b).stream())
            .flatMap(
                s ->
                    s.at(largest).stream()
                        .map(p -> s.label() + " " + Wording.bytes(bytes(answer.panel(), p))))
            .collect(Collectors.joining(", "));
    if (list.isEmpty()) {
      return Optional.empty();
    }
    String smallest =
        answer.series().stream()
            .filter(s -> !PanelAnswer.BASELINES.contains(s.series().mechanism()))
            .filter(s -> s.series().at(largest).isPresent())
            .min(
                Comparator.comparingDouble(
                    s -> bytes(answer.panel(), s.series().at(largest).orElseThrow())))
            .map(
                s ->
                    "; the least of the others, "
                        + s.series().label()
                        + ", "
                        + Wording.bytes(
                            bytes(answer.panel(), s.series().at(largest).orElseThrow())))
            .orElse("");
    return Optional.of(
        (capital(answer.panel().view().bytes()) + " at " + at(answer))
            + Wording.length(largest)
            + ": "
            + list
            + smallest
            + ".");
  }

  private static double bytes(Panel panel, Point point) {
    return panel.view().memory().of(point);
  }

  /// Everything but the exact baselines, where it was timed at lengths of the baseline.
  private static List<SeriesAnswer> rivals(PanelAnswer answer, String baseline) {
    return answer.series().stream()
        .filter(s -> !PanelAnswer.BASELINES.contains(s.series().mechanism()))
        .filter(s -> s.time().containsKey(baseline))
        .toList();
  }

  private static List<SeriesAnswer> winners(PanelAnswer answer, String baseline) {
    return rivals(answer, baseline).stream()
        .filter(s -> wins(s, baseline))
        .sorted(Comparator.comparingDouble(s -> from(s, baseline)))
        .toList();
  }

  private static boolean wins(SeriesAnswer answer, String baseline) {
    Crossover.Kind kind = answer.timeAgainst(baseline).kind();
    return kind == Crossover.Kind.REACHED || kind == Crossover.Kind.BELOW_SMALLEST;
  }

  /// Whether a winner has little error at the first or the last length at which it wins.
  private static boolean usable(SeriesAnswer answer, String baseline) {
    return !aimsElsewhere(answer)
        && (goodAtTheEnd(answer) || tooWrongFrom(answer, baseline) > firstFaster(answer, baseline));
  }

  /// Whether its error is against another softmax than the one over the given queries and keys.
  private static boolean aimsElsewhere(SeriesAnswer answer) {
    return !Labels.target(answer.series().mechanism()).isEmpty();
  }

  private static boolean goodAtTheEnd(SeriesAnswer answer) {
    return !aimsElsewhere(answer) && answer.series().points().getLast().error() <= SMALL_ERROR;
  }

  /// The smallest length with too large or no error at which the winner is faster; beyond all
  /// lengths when there is none.
  private static int tooWrongFrom(SeriesAnswer answer, String baseline) {
    double from = from(answer, baseline);
    return answer.series().points().stream()
        .filter(p -> p.n() >= from && !(p.error() <= SMALL_ERROR))
        .mapToInt(Point::n)
        .min()
        .orElse(Integer.MAX_VALUE);
  }

  private static int firstFaster(SeriesAnswer answer, String baseline) {
    double from = from(answer, baseline);
    return answer.series().points().stream()
        .mapToInt(Point::n)
        .filter(n -> n >= from)
        .min()
        .orElse(Integer.MAX_VALUE);
  }

  private static int largest(List<SeriesAnswer> answers, String baseline) {
    return answers.stream().mapToInt(s -> s.timeAgainst(baseline).largest()).max().orElseThrow();
  }

  /// Length from which a winner is faster: its crossover, or the smallest common length.
  private static double from(SeriesAnswer answer, String baseline) {
    Crossover crossover = answer.timeAgainst(baseline);
    return crossover.kind() == Crossover.Kind.REACHED ? crossover.n() : crossover.smallest();
  }

  private static String fromWords(PanelAnswer answer, Crossover crossover) {
    if (crossover.kind() == Crossover.Kind.BELOW_SMALLEST) {
      return "at every length measured, from "
          + at(answer)
          + Wording.length(crossover.smallest())
          + (crossover.doubtful() ? " (within the noise at the smallest)" : "");
    }
    return "from " + at(answer) + Wording.about(crossover.n()) + Wording.interval(crossover);
  }

  private static String at(PanelAnswer answer) {
    return answer.panel().view().at();
  }

  private static String several(Crossover crossover) {
    return crossover.crossings().size() > 1
        ? " (It crosses "
            + crossover.crossings().size()
            + " times, at "
            + crossover.crossings().stream().map(Wording::about).collect(Collectors.joining(", "))
            + "; the last one counts.)"
        : "";
  }

  private static String errorWords(SeriesAnswer answer, double from) {
    Optional<double[]> range = answer.errorFrom(from);
    if (range.isEmpty()) {
      return "an error that was not measured";
    }
    if (answer.series().approximates() == Approximates.EXACT) {
      return "rounding error only";
    }
    String low = Wording.percent(range.get()[0], SMALL_ERROR);
    String high = Wording.percent(range.get()[1], SMALL_ERROR);
    String word = StudyView.of(answer.series().points().getFirst().first().study()).error();
    return (low.equals(high) ? low : low.replace(" %", "") + "–" + high) + " " + word;
  }

  private static String words(PanelAnswer answer, String baseline) {
    String words = Objects.requireNonNull(BASELINE_WORDS.get(baseline), baseline);
    if (!answer.panel().decoding()) {
      return words;
    }
    return words
        + (baseline.equals("materialised") ? " with nothing cached" : " with a key/value cache");
  }

  private static String capital(String text) {
    return text.substring(0, 1).toUpperCase(Locale.ROOT) + text.substring(1);
  }
}
