// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;
import java.util.List;
import java.util.Locale;

/// One headline result of a paper whose shape can be looked for on another machine.
///
/// @param paper short title
/// @param arxiv identifier, empty where there is none
/// @param where table, figure or section
/// @param statement what it says, one clause
/// @param theirs the paper's number, as text
/// @param rule what counts as reproduced, fixed beforehand
/// @param context one sentence on what the paper measured and what is measured here: the reason to
///     expect another number
public record Claim(
    String paper,
    String arxiv,
    String where,
    String statement,
    String theirs,
    Rule rule,
    String context) {

  /// Verdict on a claim. Every one but the last two needs the whole 95 % interval.
  public enum Verdict {
    /// The number here is the paper's, within the rule's factor.
    REPRODUCED,
    /// The effect is there, and larger than in the paper.
    STRONGER,
    /// The effect is there, and smaller than in the paper.
    WEAKER,
    /// The effect is not there, or is the other way round.
    CONTRADICTED,
    /// The interval lies across a limit of the rule.
    UNDECIDED,
    /// Nothing here corresponds to what the paper measured.
    NOT_COMPARABLE;

    /// In lower case with spaces.
    public String words() {
      return name().toLowerCase(Locale.ROOT).replace('_', ' ');
    }
  }

  /// What a rule found.
  ///
  /// @param verdict the verdict
  /// @param own this machine's number with its interval, as text; empty where there is none
  /// @param why what keeps an undecided or incomparable one from a verdict, one sentence; empty for
  ///     the others, which the claim's context explains
  public record Outcome(Verdict verdict, String own, String why) {
    /// Nothing to compare with.
    static Outcome incomparable(String why) {
      return new Outcome(Verdict.NOT_COMPARABLE, "", why);
    }

    /// A number that decides nothing.
    static Outcome undecided(String own, String why) {
      return new Outcome(Verdict.UNDECIDED, own, why);
    }

    /// A number that decides.
    static Outcome of(Verdict verdict, String own) {
      return new Outcome(verdict, own, "");
    }
  }

  /// Why the verdict is what it is, one sentence; empty for what was reproduced.
  public String why(Outcome outcome) {
    return switch (outcome.verdict()) {
      case REPRODUCED -> "";
      case STRONGER, WEAKER, CONTRADICTED -> context;
      case UNDECIDED, NOT_COMPARABLE -> outcome.why();
    };
  }

  /// What is measured for a rule.
  ///
  /// @param study forward pass, decoding or training
  /// @param mask mask's label
  /// @param dim head width
  /// @param lengths lengths at which it is measured
  public record Setting(Study study, String mask, int dim, List<Integer> lengths) {
    /// Whether a panel was measured in this setting; the number of heads is free.
    boolean fits(Panel panel) {
      Panel.Key key = panel.key();
      return key.study() == study
          && key.mask().equals(mask)
          && key.headDim() == dim
          && key.valueDim() == dim
          && key.kvHeads() == key.heads()
          && key.crossLength() == 0
          && key.batch() == 1;
    }
  }

  /// What counts as reproduced.
  public sealed interface Rule permits ClaimRules.Measured, ClaimRules.Computed, ClaimRules.Closed {
    /// The rule in words.
    String words();
  }

  /// Mechanisms the rule needs, none for rules that measure nothing.
  public List<String> specs() {
    return rule instanceof ClaimRules.Measured measured ? measured.specs() : List.of();
  }
}
