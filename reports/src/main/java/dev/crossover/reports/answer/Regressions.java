package dev.crossover.reports.answer;

import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Environment;
import dev.crossover.bench.result.ResultRecord.Status;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.TreeSet;
import org.jspecify.annotations.Nullable;

/// What changed between two measurements of the same points.
///
/// A point is slower when a one-sided permutation test on the logarithms of its fork medians gives
/// p ≤ alpha, and the ratio of the medians exceeds 1 + least effect. A point also regresses when
/// its counted memory or its error grew by more than the least effect, or when it was measured
/// before and is not now. Whether another number of forks could have decided is always said: with
/// k forks on each side no p below 1 / C(2k, k) exists.
///
/// @param changes one per point of either file
/// @param alpha largest p of a change in time
/// @param leastEffect smallest relative change that counts
public record Regressions(List<Change> changes, double alpha, double leastEffect) {

  /// Copies the list.
  public Regressions {
    changes = List.copyOf(changes);
  }

  /// What became of a point.
  public enum Verdict {
    /// Worse in time, memory, error or status.
    REGRESSED,
    /// Faster, and nothing worse.
    IMPROVED,
    /// Neither.
    UNCHANGED,
    /// Too few forks for any p at or below alpha.
    UNDECIDABLE,
    /// Measured in the old file only.
    MISSING,
    /// Measured in the new file only.
    ADDED
  }

  /// One point in both files.
  ///
  /// @param label mechanism, length and setting
  /// @param verdict what became of it
  /// @param time new time over old time; NaN where it was not timed on both sides
  /// @param p one-sided p in the direction of the change; NaN like `time`
  /// @param smallestP smallest p so many forks can give; NaN like `time`
  /// @param reason what else is worse, or why nothing can be said; may be empty
  public record Change(
      String label, Verdict verdict, Ratio time, double p, double smallestP, String reason) {}

  /// Compares two sets of records, each reduced to its latest record of a point.
  ///
  /// @param before old records
  /// @param after new records
  /// @param alpha largest p of a change, between 0 and 1
  /// @param leastEffect smallest relative change, at least 0
  /// @throws IllegalArgumentException if alpha or the effect lies outside
  public static Regressions of(
      List<ResultRecord> before, List<ResultRecord> after, double alpha, double leastEffect) {
    if (!(alpha > 0 && alpha < 1)) {
      throw new IllegalArgumentException("alpha must be between 0 and 1, but was " + alpha);
    }
    if (!(leastEffect >= 0)) {
      throw new IllegalArgumentException("min-effect must be >= 0, but was " + leastEffect);
    }
    Map<String, ResultRecord> old = latest(before);
    Map<String, ResultRecord> now = latest(after);
    List<Change> changes = new ArrayList<>();
    old.forEach((key, record) -> changes.add(change(record, now.get(key), alpha, leastEffect)));
    now.forEach(
        (key, record) -> {
          if (!old.containsKey(key)) {
            changes.add(alone(record, Verdict.ADDED, ""));
          }
        });
    return new Regressions(changes, alpha, leastEffect);
  }

  /// The changes with a verdict, the largest ratio first for regressions, the smallest first for
  /// improvements.
  public List<Change> with(Verdict verdict) {
    Comparator<Change> order =
        Comparator.comparingDouble(c -> Double.isNaN(c.time().value()) ? 1 : c.time().value());
    return changes.stream()
        .filter(c -> c.verdict() == verdict)
        .sorted(verdict == Verdict.IMPROVED ? order : order.reversed())
        .toList();
  }

  /// The machines records were measured on: processor, cores and memory.
  public static TreeSet<String> machines(List<ResultRecord> records) {
    TreeSet<String> machines = new TreeSet<>();
    for (ResultRecord record : records) {
      Environment e = record.environment();
      machines.add(
          Labels.clean(e.cpu())
              + ", "
              + e.cores()
              + " cores, "
              + Wording.bytes((double) e.memoryBytes()));
    }
    return machines;
  }

  private static Map<String, ResultRecord> latest(List<ResultRecord> records) {
    Map<String, ResultRecord> latest = new LinkedHashMap<>();
    for (ResultRecord record : records) {
      latest.merge(
          record.pointKey(),
          record,
          (a, b) ->
              b.environment().timestamp().compareTo(a.environment().timestamp()) >= 0 ? b : a);
    }
    return latest;
  }

  private static Change change(
      ResultRecord old, @Nullable ResultRecord now, double alpha, double leastEffect) {
    if (now == null) {
      return alone(old, Verdict.MISSING, "");
    }
    if (now.status() != Status.OK) {
      return old.status() == Status.OK
          ? alone(now, Verdict.REGRESSED, "was measured, now " + status(now))
          : alone(now, Verdict.UNCHANGED, "not measured in either file");
    }
    if (old.status() != Status.OK) {
      return alone(now, Verdict.IMPROVED, "is measured, was " + status(old));
    }
    String worse = worse(old, now, leastEffect);
    Point left = new Point(old.shape().n(), List.of(old));
    Point right = new Point(now.shape().n(), List.of(now));
    if (left.samples().isEmpty() || right.samples().isEmpty()) {
      return alone(now, worse.isEmpty() ? Verdict.UNDECIDABLE : Verdict.REGRESSED, worse);
    }
    Ratio ratio = Ratio.of(curve(right), curve(left), right.n(), PanelAnswer.SEED);
    boolean slower = ratio.value() > 1;
    double[] a = logs(slower ? right : left);
    double[] b = logs(slower ? left : right);
    double p = PermutationTest.larger(a, b);
    double least = PermutationTest.smallest(a.length, b.length);
    boolean decided = p <= alpha && Math.abs(Math.log(ratio.value())) > Math.log1p(leastEffect);
    Verdict verdict;
    if (!worse.isEmpty() || (decided && slower)) {
      verdict = Verdict.REGRESSED;
    } else if (least > alpha) {
      verdict = Verdict.UNDECIDABLE;
      worse = "too few forks";
    } else {
      verdict = decided ? Verdict.IMPROVED : Verdict.UNCHANGED;
    }
    return new Change(label(now), verdict, ratio, p, least, worse);
  }

  /// What is worse besides time; empty when nothing is.
  private static String worse(ResultRecord old, ResultRecord now, double leastEffect) {
    List<String> worse = new ArrayList<>();
    double limit = 1 + leastEffect;
    Point left = new Point(old.shape().n(), List.of(old));
    Point right = new Point(now.shape().n(), List.of(now));
    if (right.countedBytes() > limit * left.countedBytes()) {
      worse.add(
          "counted memory "
              + Wording.bytes(left.countedBytes())
              + " → "
              + Wording.bytes(right.countedBytes()));
    }
    // rounding errors may move freely: only what was or became visible counts
    if (right.error() > limit * left.error() && right.error() > 1e-4) {
      worse.add("error " + Wording.percent(left.error()) + " → " + Wording.percent(right.error()));
    }
    return String.join("; ", worse);
  }

  private static Curve curve(Point point) {
    return new Curve("point", List.of(new Sample(point.n(), point.forkMedians())));
  }

  private static double[] logs(Point point) {
    return point.forkMedians().stream().mapToDouble(Math::log).toArray();
  }

  private static Change alone(ResultRecord record, Verdict verdict, String reason) {
    Ratio none = new Ratio(Double.NaN, Double.NaN, Double.NaN);
    return new Change(label(record), verdict, none, Double.NaN, Double.NaN, reason);
  }

  private static String status(ResultRecord record) {
    String reason = record.reason() == null ? "" : ": " + Labels.clean(record.reason());
    return record.status().name().toLowerCase(Locale.ROOT) + reason;
  }

  private static String label(ResultRecord r) {
    ResultRecord.Shape s = r.shape();
    return Labels.clean(r.spec())
        + " n="
        + s.n()
        + " ("
        + String.join(
            ", ",
            r.study().name().toLowerCase(Locale.ROOT),
            Labels.clean(r.mask()),
            Labels.clean(r.input().source()),
            "batch " + s.batch(),
            s.heads() + " heads × " + s.headDim(),
            r.threads() + (r.threads() == 1 ? " thread" : " threads"))
        + ")";
  }
}
