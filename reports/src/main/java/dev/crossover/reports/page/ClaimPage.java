// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import dev.crossover.reports.answer.Claim;
import dev.crossover.reports.answer.Claim.Verdict;
import dev.crossover.reports.answer.ClaimReplay;
import dev.crossover.reports.answer.ClaimReplay.Result;
import dev.crossover.reports.answer.ClaimRules;
import dev.crossover.reports.answer.FittedLines;
import dev.crossover.reports.answer.Noise;
import dev.crossover.reports.answer.Wording;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/// A [ClaimReplay] in words: for the terminal, and as a Markdown page.
public final class ClaimPage {
  private static final String HONEST =
      "Own numbers are of attention alone on a CPU; papers time whole models or layers on GPUs"
          + " unless said otherwise. Each rule was fixed before anything was measured, and the"
          + " whole 95 % interval decides: reproduced is within the rule's factor of the paper's"
          + " number, stronger and weaker lie beyond it with the effect still there, contradicted"
          + " has no effect or the opposite one, undecided lies across a limit.";
  private static final String SUMS =
      "Time of an image: the time of one token was measured at several context lengths,"
          + " interpolated in log(time) over log(context), and summed over all tokens within each"
          + " fork.";
  private static final String FITTED =
      "The benchmark fits a parabola to softmax attention and a straight line to each rival, by"
          + " least squares on plain times, and calls their intersection the efficiency length; it"
          + " gives no interval. Below, the same arithmetic on the records of this machine, beside"
          + " the crossing between two measured lengths. Its published times were taken on a GPU"
          + " without waiting for it and in training mode, which these records cannot replay.";

  private ClaimPage() {}

  /// What remains of the first claim, then how many claims have which verdict.
  public static List<String> headlines(ClaimReplay replay) {
    List<String> lines = new ArrayList<>();
    own(replay, "materialised")
        .ifPresent(
            cold ->
                lines.add(
                    "Of the 4462 times of Transformers are RNNs, against softmax that caches"
                        + " nothing, this machine finds "
                        + cold
                        + own(replay, "tiled")
                            .map(warm -> "; against a key/value cache " + warm + " remains")
                            .orElse("")
                        + "."));
    lines.add(
        "Of "
            + replay.results().size()
            + " claims "
            + Arrays.stream(Verdict.values())
                .filter(verdict -> replay.count(verdict) > 0)
                .map(verdict -> replay.count(verdict) + " " + verdict.words())
                .collect(Collectors.joining(", "))
            + ".");
    if (replay.noise().verdict() != Noise.Verdict.UNKNOWN) {
      lines.add(
          (replay.noise().verdict() == Noise.Verdict.NOISY
                  ? "The machine was noisy, so intervals are wide"
                  : "Noise of the machine")
              + ": forks of one point lie "
              + Wording.percent(replay.noise().medianSpread())
              + " apart in the median, "
              + Wording.percent(replay.noise().worstSpread())
              + " at worst ("
              + replay.noise().worstPoint()
              + ").");
    }
    return lines;
  }

  /// For the terminal: one block a claim.
  public static List<String> lines(ClaimReplay replay) {
    List<String> lines = new ArrayList<>(headlines(replay));
    for (Result result : replay.results()) {
      Claim claim = result.claim();
      lines.add("");
      lines.add("[" + result.outcome().verdict().words() + "] " + claim.statement());
      lines.add("  source  " + source(claim));
      lines.add("  paper   " + claim.theirs());
      if (!result.outcome().own().isEmpty()) {
        lines.add("  own     " + result.outcome().own());
      }
      if (!result.why().isEmpty()) {
        lines.add("  why     " + result.why());
      }
      lines.add("  rule    " + claim.rule().words());
    }
    return lines;
  }

  /// As a Markdown page.
  ///
  /// @param replay the verdicts
  /// @param command the command that made them
  public static String markdown(ClaimReplay replay, String command) {
    StringBuilder text = new StringBuilder("# The papers' claims on this machine\n");
    for (String line : headlines(replay)) {
      text.append('\n').append(Markdown.escape(line)).append('\n');
    }
    text.append('\n').append(HONEST).append(' ').append(SUMS).append('\n');
    text.append("\n| verdict | claim | paper | own | why | source |\n|---|---|---|---|---|---|\n");
    for (Result result : replay.results()) {
      Claim claim = result.claim();
      row(
          text,
          "**" + result.outcome().verdict().words() + "**",
          Markdown.escape(claim.statement()),
          Markdown.escape(claim.theirs()),
          result.outcome().own().isEmpty() ? "–" : Markdown.escape(result.outcome().own()),
          Markdown.escape(result.why()),
          Markdown.escape(source(claim)));
    }
    text.append("\n## Rules\n\n");
    Set<String> rules = new LinkedHashSet<>();
    for (Result result : replay.results()) {
      rules.add(result.claim().rule().words());
    }
    for (String rule : rules) {
      if (!rule.startsWith("none: ")) {
        text.append("- ").append(Markdown.escape(rule)).append('\n');
      }
    }
    fitted(text, replay);
    text.append("\n## Measured\n\n");
    Set<String> places = new LinkedHashSet<>();
    for (Result result : replay.results()) {
      if (!result.measured().isEmpty()) {
        places.add(result.measured());
      }
    }
    for (String place : places) {
      text.append("- ").append(Markdown.escape(place)).append('\n');
    }
    return text.append("\n").append(Markdown.code(command)).append('\n').toString();
  }

  private static void fitted(StringBuilder text, ClaimReplay replay) {
    if (replay.fitted().isEmpty()) {
      return;
    }
    text.append("\n## Fitted lines: what the ")
        .append(FittedLines.BENCHMARK)
        .append("'s method would have claimed here\n\n")
        .append(FITTED)
        .append("\n\n| mechanism | published | its method on these records | between two measured")
        .append(" lengths | |\n|---|---|---|---|---|\n");
    for (FittedLines one : replay.fitted()) {
      row(
          text,
          Markdown.escape(one.spec()),
          Wording.length(one.published()),
          Double.isNaN(one.fitted()) ? "the fits do not meet" : Wording.whole(one.fitted()),
          Wording.crossover(one.interpolated(), one.fitted()),
          one.outside() ? "outside the interval" : "inside the interval");
    }
  }

  private static Optional<String> own(ClaimReplay replay, String baseline) {
    return replay.results().stream()
        .filter(
            r ->
                !r.measured().isEmpty()
                    && r.claim().rule() instanceof ClaimRules.WholeImage image
                    && image.baseline().equals(baseline)
                    && image.n() == 3072)
        .map(r -> r.outcome().own().replaceAll(" times: .*", " times"))
        .findFirst();
  }

  private static String source(Claim claim) {
    return claim.paper()
        + (claim.arxiv().isEmpty() ? "" : ", arXiv:" + claim.arxiv())
        + ", "
        + claim.where();
  }

  private static void row(StringBuilder text, String... cells) {
    text.append("| ").append(String.join(" | ", cells)).append(" |\n");
  }
}
