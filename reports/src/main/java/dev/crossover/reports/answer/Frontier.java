package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.tune.Tuner.Setting;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/// The fastest setting within an error, at one length under one mask.
///
/// @param n sequence length
/// @param mask `none` or `causal`
/// @param tried number of settings whose error was computed
/// @param timed settings that were timed, with their records
/// @param exact record of the optimised exact baseline; absent where it could not be timed
public record Frontier(
    int n, String mask, int tried, Map<Setting, ResultRecord> timed, Optional<ResultRecord> exact) {

  /// A setting that was timed.
  ///
  /// @param setting what was chosen
  /// @param seconds median over forks
  /// @param speedUp how many times faster than the exact baseline
  public record Timed(Setting setting, double seconds, Ratio speedUp) {

    /// Whether the setting is within an error on heads that had no part in the choice.
    boolean holds(double error) {
      return setting.error() <= error;
    }
  }

  /// All settings that were timed and became steady, fastest first.
  public List<Timed> all() {
    List<Timed> all = new ArrayList<>();
    if (exact.isEmpty() || !usable(exact.get())) {
      return all;
    }
    Sample baseline = sample(exact.get());
    timed.forEach(
        (setting, record) -> {
          if (usable(record)) {
            Sample sample = sample(record);
            all.add(new Timed(setting, sample.median(), Ratio.of(baseline, sample)));
          }
        });
    all.sort(Comparator.comparingDouble(Timed::seconds));
    return all;
  }

  private static boolean usable(ResultRecord record) {
    return record.time() != null && !record.unsteady();
  }

  /// The medians of a record's forks.
  private static Sample sample(ResultRecord record) {
    int n = record.shape().n();
    return new Sample(n, new Point(n, List.of(record)).forkMedians());
  }

  /// The fastest setting within an error on the heads it was chosen on, whose speed-up over exact
  /// attention is certain; empty where there is none.
  public Optional<Timed> winner(double error) {
    return all().stream()
        .filter(timed -> timed.setting().chosenOn() <= error && timed.holds(error))
        .filter(timed -> timed.speedUp().hasInterval() && timed.speedUp().low() > 1)
        .findFirst();
  }

  /// The settings of which none is both faster and more accurate.
  public List<Timed> front() {
    List<Timed> front = new ArrayList<>();
    double best = Double.POSITIVE_INFINITY;
    for (Timed timed : all()) {
      if (timed.setting().error() < best) {
        front.add(timed);
        best = timed.setting().error();
      }
    }
    return front;
  }

  /// The winners for some errors, the front, and what was tried, as Markdown.
  public String markdown(List<Double> errors) {
    StringBuilder text = new StringBuilder();
    text.append(String.format(Locale.ROOT, "## n = %d, mask %s%n%n", n, mask));
    text.append("| permitted error | fastest setting | times faster than `tiled` | error where");
    text.append(" chosen | error on other heads |\n|---|---|---|---|---|\n");
    for (double error : errors) {
      text.append("| ").append(percent(error)).append(" | ");
      Optional<Timed> winner = winner(error);
      if (winner.isEmpty()) {
        text.append("exact attention: nothing within it is faster for certain | 1 | 0 | 0 |\n");
      } else {
        text.append(row(winner.get())).append(" |\n");
      }
    }
    text.append("\nThe front (none is both faster and more accurate), fastest first:\n\n");
    text.append(
        "| setting | times faster than `tiled` | error where chosen | error on other heads");
    text.append(" |\n|---|---|---|---|\n");
    for (Timed timed : front()) {
      text.append("| ").append(row(timed)).append(" |\n");
    }
    text.append(
        String.format(
            Locale.ROOT,
            "%n%d settings were tried by their error, %d were timed.%n%n",
            tried,
            timed.size()));
    return text.toString();
  }

  private static String row(Timed timed) {
    Ratio ratio = timed.speedUp();
    return String.format(
        Locale.ROOT,
        "`%s` | %.2f (%.2f–%.2f) | %s | %s",
        timed.setting().spec(),
        ratio.value(),
        ratio.low(),
        ratio.high(),
        percent(timed.setting().chosenOn()),
        Double.isNaN(timed.setting().heldOut())
            ? "one head only"
            : percent(timed.setting().heldOut()));
  }

  static String percent(double error) {
    return String.format(Locale.ROOT, "%.2g %%", 100 * error);
  }
}
