// SPDX-License-Identifier: Apache-2.0
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
import java.util.stream.Collectors;
import org.jspecify.annotations.Nullable;

/// What changed between two measurements of the same points.
///
/// A point is slower when [Relabelling] gives p ≤ alpha for it and the ratio of the medians exceeds
/// 1 + least effect. That p counts all points at once: with nothing changed, the probability that
/// any point at all is called slower is at most alpha, and the same holds for faster. A point also
/// regresses when a metric that is counted or computed ([Metric.Judge]: memory, error) is worse by
/// more than the least effect, or when it was measured before and failed or was skipped now. With k
/// forks on each side no p below 1 / C(2k, k) exists, so that three forks can just decide at 0.05.
///
/// @param changes one per point of either file
/// @param alpha largest p of a change in time
/// @param leastEffect smallest relative change that counts
/// @param smallestP smallest p so many forks can give; NaN where nothing was timed on both sides
public record Regressions(
    List<Change> changes, double alpha, double leastEffect, double smallestP) {

  private static final Ratio NONE = new Ratio(Double.NaN, Double.NaN, Double.NaN);

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
  /// @param record the point's newest record
  /// @param label mechanism, length and setting
  /// @param verdict what became of it
  /// @param time new time over old time; NaN where it was not timed on both sides
  /// @param p one-sided p in the direction of the change, over all points at once; NaN like `time`
  /// @param reason what else is worse, or why nothing can be said; may be empty
  /// @param before the point as it was; absent where it was measured on one side only
  /// @param after the point as it is; absent like `before`
  public record Change(
      ResultRecord record,
      String label,
      Verdict verdict,
      Ratio time,
      double p,
      String reason,
      @Nullable Point before,
      @Nullable Point after) {}

  /// A point that was measured on both sides.
  private record Both(ResultRecord old, ResultRecord now, Point left, Point right) {
    static Both of(ResultRecord old, ResultRecord now) {
      return new Both(
          old,
          now,
          new Point(old.shape().n(), List.of(old)),
          new Point(now.shape().n(), List.of(now)));
    }

    boolean timed() {
      return !left.samples().isEmpty() && !right.samples().isEmpty() && unsteady().isEmpty();
    }

    /// Why its times cannot be compared; empty when both are steady.
    String unsteady() {
      if (now.unsteady()) {
        return "unsteady now: " + Labels.clean(now.unsteadiness());
      }
      return old.unsteady() ? "was unsteady: " + Labels.clean(old.unsteadiness()) : "";
    }

    Sample before() {
      return new Sample(left.n(), left.forkMedians());
    }

    Sample after() {
      return new Sample(right.n(), right.forkMedians());
    }
  }

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
    List<Both> timed = new ArrayList<>();
    old.forEach(
        (key, record) -> {
          ResultRecord other = now.get(key);
          if (other != null && record.status() == Status.OK && other.status() == Status.OK) {
            Both both = Both.of(record, other);
            if (both.timed()) {
              timed.add(both);
            }
          }
        });
    Relabelling labels =
        Relabelling.of(
            timed.stream().map(both -> Logs.of(both.before())).toList(),
            timed.stream().map(both -> Logs.of(both.after())).toList());
    List<Change> changes = new ArrayList<>();
    int next = 0;
    for (Map.Entry<String, ResultRecord> entry : old.entrySet()) {
      ResultRecord record = entry.getValue();
      if (next < timed.size() && timed.get(next).old() == record) {
        changes.add(timed(timed.get(next), labels, next, alpha, leastEffect));
        next++;
      } else {
        changes.add(untimed(record, now.get(entry.getKey()), leastEffect));
      }
    }
    now.forEach(
        (key, record) -> {
          if (!old.containsKey(key)) {
            changes.add(alone(record, Verdict.ADDED, ""));
          }
        });
    return new Regressions(changes, alpha, leastEffect, labels.smallest());
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

  /// Number of changes with a verdict.
  public int count(Verdict verdict) {
    return with(verdict).size();
  }

  /// Whether any point could be compared at all.
  public boolean decidesAnything() {
    return count(Verdict.REGRESSED) + count(Verdict.IMPROVED) + count(Verdict.UNCHANGED) > 0;
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

  private static Change timed(
      Both both, Relabelling labels, int index, double alpha, double leastEffect) {
    Ratio ratio = Ratio.of(both.after(), both.before());
    boolean slower = ratio.value() > 1;
    double p = slower ? labels.slower(index) : labels.faster(index);
    boolean decided = p <= alpha && Math.abs(Math.log(ratio.value())) > Math.log1p(leastEffect);
    String reason = worse(both.left(), both.right(), leastEffect);
    Verdict verdict;
    if (!reason.isEmpty() || (decided && slower)) {
      verdict = Verdict.REGRESSED;
    } else if (labels.smallest() > alpha) {
      verdict = Verdict.UNDECIDABLE;
      reason = "too few forks";
    } else {
      verdict = decided ? Verdict.IMPROVED : Verdict.UNCHANGED;
    }
    return new Change(
        both.now(), label(both.now()), verdict, ratio, p, reason, both.left(), both.right());
  }

  private static Change untimed(ResultRecord old, @Nullable ResultRecord now, double leastEffect) {
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
    Both both = Both.of(old, now);
    String worse = worse(both.left(), both.right(), leastEffect);
    return new Change(
        now,
        label(now),
        worse.isEmpty() ? Verdict.UNDECIDABLE : Verdict.REGRESSED,
        NONE,
        Double.NaN,
        !worse.isEmpty() ? worse : both.unsteady().isEmpty() ? "no usable sample" : both.unsteady(),
        both.left(),
        both.right());
  }

  /// What is worse besides time; empty when nothing is.
  private static String worse(Point left, Point right, double leastEffect) {
    return Metrics.ALL.stream()
        .map(metric -> metric.worse(left, right, leastEffect))
        .filter(words -> !words.isEmpty())
        .collect(Collectors.joining("; "));
  }

  private static Change alone(ResultRecord record, Verdict verdict, String reason) {
    return new Change(record, label(record), verdict, NONE, Double.NaN, reason, null, null);
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
