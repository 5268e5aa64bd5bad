package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord.Study;
import java.util.List;

/// One headline result of a paper whose shape can be looked for on another machine.
///
/// @param paper short title
/// @param arxiv identifier, empty where there is none
/// @param where table, figure or section
/// @param statement what it says, one clause
/// @param theirs the paper's number, as text
/// @param rule what counts as reproduced, fixed beforehand
public record Claim(
    String paper, String arxiv, String where, String statement, String theirs, Rule rule) {

  /// Verdict on a claim.
  public enum Verdict {
    /// The rule holds for the whole interval.
    REPRODUCED,
    /// The rule fails for the whole interval.
    NOT_REPRODUCED,
    /// Nothing here corresponds, or the interval decides nothing.
    NOT_COMPARABLE;

    /// In lower case with spaces.
    public String words() {
      return name().toLowerCase(java.util.Locale.ROOT).replace('_', ' ');
    }
  }

  /// What a rule found.
  ///
  /// @param verdict the verdict
  /// @param own this machine's number with its interval, as text
  public record Outcome(Verdict verdict, String own) {
    /// Nothing to compare with.
    static Outcome incomparable(String why) {
      return new Outcome(Verdict.NOT_COMPARABLE, why);
    }
  }

  /// What is measured for a rule.
  ///
  /// @param study forward pass or decoding
  /// @param mask mask's label
  /// @param dim head width
  public record Setting(Study study, String mask, int dim) {
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
  public sealed interface Rule permits ClaimRules.Measured, ClaimRules.Errors, ClaimRules.Closed {
    /// The rule in words.
    String words();
  }

  /// Mechanisms the rule needs, none for rules that measure nothing.
  public List<String> specs() {
    return rule instanceof ClaimRules.Measured measured ? measured.specs() : List.of();
  }
}
