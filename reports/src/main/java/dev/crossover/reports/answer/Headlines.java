package dev.crossover.reports.answer;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.reports.answer.PanelAnswer.SeriesAnswer;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Collectors;

/// A panel's answers in words: gains and refusals alike, never a speed without its error.
///
/// @param lead one sentence that sums the panel up
/// @param findings one sentence each, most useful first
public record Headlines(String lead, List<String> findings) {

  /// Error up to which a gain is named in the lead.
  public static final double SMALL_ERROR = 0.1;

  private static final Map<String, String> BASELINE_WORDS =
      Map.of("tiled", "tiled exact attention", "materialised", "materialised exact attention");
  private static final int MOST_SENTENCES = 10;

  /// Copies the findings.
  public Headlines {
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
          "No exact baseline was measured here, so there is no crossover to state.", List.of());
    }
    List<String> findings = new ArrayList<>();
    for (String baseline : PanelAnswer.BASELINES) {
      if (baseline.equals(main)) {
        findings.addAll(against(answer, baseline));
      } else {
        summary(answer, baseline).ifPresent(findings::add);
      }
    }
    memory(answer).ifPresent(findings::add);
    return new Headlines(lead(answer, main), findings);
  }

  private static String lead(PanelAnswer answer, String baseline) {
    List<SeriesAnswer> others = rivals(answer, baseline);
    if (others.isEmpty()) {
      return "Only exact attention was measured here.";
    }
    List<SeriesAnswer> winners = others.stream().filter(s -> wins(s, baseline)).toList();
    String against = words(answer, baseline);
    int largest = answer.panel().lengths().getLast();
    String reach = (answer.panel().decoding() ? "context " : "n = ") + Wording.length(largest);
    if (winners.isEmpty()) {
      return "Nothing measured here beats " + against + " at " + reach + ": use exact attention.";
    }
    String count =
        winners.size() + " of " + others.size() + (others.size() == 1 ? " setting" : " settings")
            + (winners.size() == 1 ? " is" : " are") + " faster than " + against + " at " + reach;
    List<SeriesAnswer> good =
        winners.stream()
            .filter(s -> s.errorFrom(from(s, baseline)).filter(e -> e[1] <= SMALL_ERROR).isPresent())
            .sorted(Comparator.comparingDouble(s -> from(s, baseline)))
            .toList();
    String limit = Wording.percent(SMALL_ERROR);
    if (good.isEmpty()) {
      return count + ", none of them with an error of " + limit + " or less.";
    }
    SeriesAnswer first = good.getFirst();
    return count
        + "; "
        + (good.size() == 1 ? "one" : Integer.toString(good.size()))
        + " with at most "
        + limit
        + " error, the first being "
        + first.series().label()
        + " "
        + fromWords(answer.panel(), first.time().get(baseline))
        + ".";
  }

  private static List<String> against(PanelAnswer answer, String baseline) {
    Panel panel = answer.panel();
    String words = words(answer, baseline);
    List<String> sentences = new ArrayList<>();
    List<SeriesAnswer> rivals = rivals(answer, baseline);
    List<SeriesAnswer> winners =
        rivals.stream()
            .filter(s -> wins(s, baseline))
            .sorted(Comparator.comparingDouble(s -> from(s, baseline)))
            .toList();
    for (SeriesAnswer winner : winners.subList(0, Math.min(MOST_SENTENCES, winners.size()))) {
      Crossover crossover = winner.time().get(baseline);
      sentences.add(
          winner.series().label()
              + " is faster than "
              + words
              + " "
              + fromWords(panel, crossover)
              + errorWords(winner, from(winner, baseline))
              + "."
              + several(crossover));
    }
    if (winners.size() > MOST_SENTENCES) {
      sentences.add(
          (winners.size() - MOST_SENTENCES) + " further settings are faster too: see the table.");
    }
    List<SeriesAnswer> lost = rivals.stream().filter(s -> is(s, baseline, Crossover.Kind.LOST_AGAIN)).toList();
    if (!lost.isEmpty()) {
      sentences.add(
          "Faster than " + words + " only in between, not at the largest length: " + names(lost) + ".");
    }
    List<SeriesAnswer> not = rivals.stream().filter(s -> is(s, baseline, Crossover.Kind.NOT_REACHED)).toList();
    if (!not.isEmpty()) {
      int largest = not.stream().mapToInt(s -> s.time().get(baseline).largest()).max().orElseThrow();
      sentences.add(
          "Not faster than "
              + words
              + " by "
              + (panel.decoding() ? "context " : "n = ")
              + Wording.length(largest)
              + ": "
              + names(not)
              + ".");
    }
    return sentences;
  }

  private static Optional<String> summary(PanelAnswer answer, String baseline) {
    List<SeriesAnswer> rivals = rivals(answer, baseline);
    if (answer.panel().baseline(baseline).isEmpty() || rivals.isEmpty()) {
      return Optional.empty();
    }
    String list =
        rivals.stream()
            .filter(s -> wins(s, baseline))
            .sorted(Comparator.comparingDouble(s -> from(s, baseline)))
            .map(
                s ->
                    s.series().label()
                        + ": "
                        + shortFrom(s.time().get(baseline))
                        + ", "
                        + shortError(s, from(s, baseline)))
            .collect(Collectors.joining("; "));
    String words = words(answer, baseline);
    return Optional.of(
        list.isEmpty()
            ? "Nothing is faster than " + words + " at the largest length."
            : "Against " + words + ", the usual baseline of papers, lengths of crossover: " + list + ".");
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
        (answer.panel().decoding() ? "State at context " : "Counted memory at n = ")
            + Wording.length(largest)
            + ": "
            + list
            + smallest
            + ".");
  }

  private static double bytes(Panel panel, Point point) {
    return panel.decoding() ? point.stateBytes() : point.countedBytes();
  }

  private static List<SeriesAnswer> rivals(PanelAnswer answer, String baseline) {
    return answer.series().stream().filter(s -> s.time().containsKey(baseline)).toList();
  }

  private static boolean is(SeriesAnswer answer, String baseline, Crossover.Kind kind) {
    return answer.time().get(baseline).kind() == kind;
  }

  private static boolean wins(SeriesAnswer answer, String baseline) {
    return is(answer, baseline, Crossover.Kind.REACHED)
        || is(answer, baseline, Crossover.Kind.BELOW_SMALLEST);
  }

  /// Length from which a winner is faster: its crossover, or the smallest common length.
  private static double from(SeriesAnswer answer, String baseline) {
    Crossover crossover = answer.time().get(baseline);
    return crossover.kind() == Crossover.Kind.REACHED ? crossover.n() : crossover.smallest();
  }

  private static String fromWords(Panel panel, Crossover crossover) {
    String at = panel.decoding() ? "context " : "n = ";
    if (crossover.kind() == Crossover.Kind.BELOW_SMALLEST) {
      return "at every length measured, from "
          + at
          + Wording.length(crossover.smallest())
          + (crossover.doubtful() ? " (within the noise at the smallest)" : "");
    }
    return "from " + at + Wording.about(crossover.n()) + Wording.interval(crossover);
  }

  private static String shortFrom(Crossover crossover) {
    return crossover.kind() == Crossover.Kind.BELOW_SMALLEST
        ? "below " + Wording.length(crossover.smallest())
        : Wording.about(crossover.n()) + Wording.interval(crossover);
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
    if (answer.series().approximates() == Approximates.NONE) {
      return ", but computes something other than softmax attention, so no error applies";
    }
    if (answer.series().approximates() == Approximates.EXACT) {
      return ", and is exact";
    }
    String error = errorRange(answer, from);
    return error.isEmpty() ? ", at an error that was not measured" : ", at " + error + " error";
  }

  private static String shortError(SeriesAnswer answer, double from) {
    if (answer.series().approximates() == Approximates.NONE) {
      return "no error applies";
    }
    if (answer.series().approximates() == Approximates.EXACT) {
      return "exact";
    }
    String error = errorRange(answer, from);
    return error.isEmpty() ? "error not measured" : error + " error";
  }

  private static String errorRange(SeriesAnswer answer, double from) {
    Optional<double[]> range = answer.errorFrom(from);
    if (range.isEmpty()) {
      return "";
    }
    String low = Wording.percent(range.get()[0]);
    String high = Wording.percent(range.get()[1]);
    return low.equals(high) ? low : low.replace(" %", "") + "–" + high;
  }

  private static String names(List<SeriesAnswer> answers) {
    return answers.stream().map(s -> s.series().label()).collect(Collectors.joining("; "));
  }

  private static String words(PanelAnswer answer, String baseline) {
    String words = BASELINE_WORDS.get(baseline);
    return answer.panel().decoding() ? words + " with a key/value cache" : words;
  }
}
