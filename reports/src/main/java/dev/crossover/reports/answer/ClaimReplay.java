// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Environment;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Claim.Outcome;
import dev.crossover.reports.answer.Claim.Verdict;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;

/// Verdicts on claims from records.
///
/// A rule is judged on one panel, so never on records of different machines, builds or inputs: of
/// the panels that cover it on the first machine given, the one with most forks.
///
/// @param results one per claim, in the order of the claims
/// @param noise spread between forks of the mechanisms the rules look at
/// @param fitted what fitted lines would have claimed from the same records
public record ClaimReplay(List<Result> results, Noise noise, List<FittedLines> fitted) {

  /// Copies the lists.
  public ClaimReplay {
    results = List.copyOf(results);
    fitted = List.copyOf(fitted);
  }

  /// A claim and its verdict.
  ///
  /// @param claim the claim
  /// @param outcome the verdict
  /// @param measured where the own number was measured; empty for none
  public record Result(Claim claim, Outcome outcome, String measured) {
    /// Why the verdict is what it is, one sentence; empty for what was reproduced.
    public String why() {
      return claim.why(outcome);
    }
  }

  /// What has to be measured before every rule is covered.
  ///
  /// @param claims the claims
  /// @param records what there is
  /// @param study forward pass, decoding or training
  /// @return mechanisms of rules that no panel covers
  public static List<String> uncovered(
      List<Claim> claims, List<ResultRecord> records, Study study) {
    List<Panel> panels = Panel.of(records);
    TreeSet<String> specs = new TreeSet<>();
    for (Claim claim : claims) {
      if (claim.rule() instanceof ClaimRules.Measured rule
          && rule.setting().study() == study
          && panel(rule, panels).isEmpty()) {
        specs.addAll(rule.specs());
      }
    }
    return List.copyOf(specs);
  }

  /// Judges all claims.
  ///
  /// @param claims the claims
  /// @param records records of any number of panels
  /// @param computed the verdict on a rule about what is computed
  public static ClaimReplay of(
      List<Claim> claims,
      List<ResultRecord> records,
      Function<ClaimRules.Computed, Outcome> computed) {
    List<Panel> panels = Panel.of(records);
    List<Result> results = new ArrayList<>();
    for (Claim claim : claims) {
      results.add(
          switch (claim.rule()) {
            case ClaimRules.Measured rule -> measured(claim, rule, panels);
            case ClaimRules.Computed rule -> computed(claim, rule, computed.apply(rule));
            case ClaimRules.Closed rule -> new Result(claim, Outcome.incomparable(rule.why()), "");
          });
    }
    return new ClaimReplay(results, noise(claims, panels), FittedLines.of(claims, panels));
  }

  private static Noise noise(List<Claim> claims, List<Panel> panels) {
    Set<Series> series = new LinkedHashSet<>();
    for (Claim claim : claims) {
      if (claim.rule() instanceof ClaimRules.Measured rule) {
        panel(rule, panels).stream()
            .flatMap(p -> p.series().stream())
            .filter(s -> rule.specs().contains(s.spec()))
            .forEach(series::add);
      }
    }
    return Noise.of(series.stream().map(Series::time).flatMap(Optional::stream).toList());
  }

  /// Number of claims with a verdict.
  public long count(Verdict verdict) {
    return results.stream().filter(r -> r.outcome().verdict() == verdict).count();
  }

  private static Result computed(Claim claim, ClaimRules.Computed rule, Outcome outcome) {
    boolean looked = outcome.verdict() != Verdict.NOT_COMPARABLE;
    return new Result(claim, outcome, looked ? rule.from() : "");
  }

  private static Result measured(Claim claim, ClaimRules.Measured rule, List<Panel> panels) {
    Optional<Panel> panel = panel(rule, panels);
    if (panel.isEmpty()) {
      return new Result(claim, Outcome.incomparable(absent(rule, panels)), "");
    }
    return new Result(claim, rule.outcome(panel.get()), where(panel.get()));
  }

  /// Why nothing covers a rule: the reason of a point that is missing, or that there is none.
  private static String absent(ClaimRules.Measured rule, List<Panel> panels) {
    for (Panel panel : panels) {
      for (ResultRecord record : panel.missing()) {
        if (rule.setting().fits(panel)
            && rule.specs().contains(record.spec())
            && record.reason() != null) {
          return "not measured: " + Labels.clean(record.reason());
        }
      }
    }
    return "not measured";
  }

  static Optional<Panel> panel(ClaimRules.Measured rule, List<Panel> panels) {
    return panels.stream()
        .filter(p -> rule.setting().fits(p) && rule.covered(p))
        .max(
            Comparator.comparingInt((Panel p) -> forks(p, rule))
                .thenComparing(p -> p.anyRecord().environment().timestamp()));
  }

  private static int forks(Panel panel, ClaimRules.Measured rule) {
    return panel.series().stream()
        .filter(s -> rule.specs().contains(s.spec()))
        .flatMap(s -> s.points().stream())
        .mapToInt(p -> p.forkMedians().size())
        .min()
        .orElse(0);
  }

  private static String where(Panel panel) {
    Environment e = panel.environment();
    return Labels.clean(panel.key().input())
        + ", "
        + panel.sizes()
        + ", "
        + Labels.clean(e.cpu())
        + ", commit "
        + Labels.clean(e.commit());
  }
}
