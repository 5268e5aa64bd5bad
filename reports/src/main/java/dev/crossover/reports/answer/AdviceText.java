// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.reports.answer.Advice.Candidate;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/// An [Advice] as text: the answer first, then the runner-up, the records, and every other
/// mechanism with its objection.
public final class AdviceText {
  private AdviceText() {}

  /// The lines of an advice.
  ///
  /// @param advice the advice
  /// @param errorSource where the errors are from, for example `captured`
  public static List<String> of(Advice advice, String errorSource) {
    List<String> lines = new ArrayList<>();
    Optional<Candidate> best = advice.best();
    if (best.isPresent()) {
      lines.add("Use " + best.get().spec());
      lines.addAll(facts(best.get(), advice, errorSource));
      lines.add(
          advice
              .runnerUp()
              .map(c -> "Runner-up: " + c.spec())
              .orElse("Runner-up: exact attention, " + advice.exact()));
      advice.runnerUp().ifPresent(c -> lines.addAll(facts(c, advice, errorSource)));
    } else if (!advice.answered()) {
      lines.add("Nothing was measured there, so nothing is advised");
    } else {
      lines.add("Use exact attention: " + advice.exact());
      lines.add("  " + reason(advice));
      advice
          .nearestMiss()
          .ifPresent(
              c -> {
                lines.add("Nearest miss: " + c.spec() + ", " + c.objection());
                lines.addAll(facts(c, advice, errorSource));
              });
    }
    advice
        .panel()
        .ifPresent(
            panel ->
                lines.add(
                    "Records: "
                        + panel.title()
                        + ", "
                        + panel.sizes()
                        + ", "
                        + Labels.clean(panel.environment().cpu())
                        + ", commit "
                        + Labels.clean(panel.environment().commit())));
    advice.notes().forEach(note -> lines.add("Note: " + note));
    if (advice.eligible().size() + advice.rejected().size() > 0) {
      lines.add("");
      lines.addAll(table(advice));
    }
    return lines;
  }

  private static String reason(Advice advice) {
    if (advice.rejected().isEmpty()) {
      return "nothing else was measured";
    }
    return "none of "
        + advice.rejected().size()
        + " others is faster for certain with an error of at most "
        + limit(advice);
  }

  private static List<String> facts(Candidate c, Advice advice, String errorSource) {
    return List.of(
        "  speed-up "
            + c.speedUp().words()
            + " against "
            + advice.exact()
            + " at n = "
            + Wording.length(c.n())
            + ": "
            + Wording.seconds(c.seconds())
            + " instead of "
            + Wording.seconds(c.exactSeconds()),
        "  error "
            + Wording.percent(c.error(), advice.question().maxError())
            + " on "
            + errorSource
            + ", at most "
            + limit(advice)
            + " asked for",
        "  counted memory " + Wording.bytes(c.bytes()));
  }

  /// The error asked for, with all its digits.
  private static String limit(Advice advice) {
    return Wording.percent(advice.question().maxError(), advice.question().maxError());
  }

  private static List<String> table(Advice advice) {
    List<String[]> rows = new ArrayList<>();
    rows.add(new String[] {"mechanism", "speed-up", "error", ""});
    advice.eligible().forEach(c -> rows.add(row(c, advice, "advisable")));
    advice.rejected().forEach(c -> rows.add(row(c, advice, c.objection())));
    int[] width = new int[3];
    for (String[] row : rows) {
      for (int i = 0; i < width.length; i++) {
        width[i] = Math.max(width[i], row[i].length());
      }
    }
    List<String> lines = new ArrayList<>();
    for (String[] row : rows) {
      StringBuilder line = new StringBuilder();
      for (int i = 0; i < width.length; i++) {
        line.append(row[i]).append(" ".repeat(width[i] - row[i].length() + 2));
      }
      lines.add(line.append(row[3]).toString().stripTrailing());
    }
    return lines;
  }

  private static String[] row(Candidate c, Advice advice, String verdict) {
    String ratio =
        Double.isNaN(c.speedUp().value()) ? "–" : c.speedUp().words().replace(" (no interval)", "");
    return new String[] {
      c.spec(), ratio, Wording.percent(c.error(), advice.question().maxError()), verdict
    };
  }
}
