// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.random.Draws;
import dev.crossover.bench.input.InputSource;
import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Peak;
import dev.crossover.bench.result.ResultRecord.Status;
import java.io.IOException;
import java.nio.file.Path;
import java.time.Duration;
import java.util.ArrayList;
import java.util.Collections;
import java.util.Comparator;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Locale;
import java.util.Map;
import java.util.Random;
import org.jspecify.annotations.Nullable;

/// Runs a sweep: forks of all points in rounds, each round in a shuffled order of its own, so that
/// a drift of the machine falls on all points alike.
///
/// After every fork the point's record, with all its samples so far, is appended to the result
/// file. A sweep that is stopped at any moment is continued by running it again: what the file
/// holds for this machine, JDK and commit is not measured anew.
public final class SweepRunner {
  private static final double SHARE_OF_MEMORY = 0.85;
  private static final double LONG_CALL_SECONDS = 0.3;

  private final SweepPlan plan;
  private final Forks forks;
  private final Progress progress;
  private final Records making;
  private final long availableBytes;
  private final Pace pace = new Pace();
  private final Map<Point, ResultRecord> known = new LinkedHashMap<>();
  private final Map<Point, Problem> problems = new LinkedHashMap<>();
  private final Map<String, InputSource> inputs = new HashMap<>();
  private final Map<Integer, Peak> peaks = new HashMap<>();
  private final Map<Point, Long> heapBytes = new HashMap<>();

  /// How a sweep ended.
  ///
  /// @param records one per point of the sweep that has been reached, in the sweep's order
  /// @param interrupted whether it was stopped before its end
  public record Summary(List<ResultRecord> records, boolean interrupted) {
    /// Number of records with a status, unsteady ones included.
    public long count(Status status) {
      return records.stream().filter(record -> record.status() == status).count();
    }

    /// Number of points that were timed but never became steady.
    public long unsteady() {
      return records.stream().filter(ResultRecord::unsteady).count();
    }
  }

  /// Prepares a sweep on this machine.
  ///
  /// @param plan what to measure
  /// @param forks how to measure
  /// @param progress whom to tell
  /// @param command the command that measures, as it was typed, kept in every record
  public SweepRunner(SweepPlan plan, Forks forks, Progress progress, @Nullable String command) {
    this(plan, forks, progress, new Records(command), Machine.availableBytes());
  }

  /// Prepares a single sweep on this machine, by no command.
  public SweepRunner(Sweep sweep, Forks forks, Progress progress) {
    this(SweepPlan.of(sweep), forks, progress, null);
  }

  /// As above, with the memory that may be used, for tests.
  SweepRunner(Sweep sweep, Forks forks, Progress progress, Records making, long availableBytes) {
    this(SweepPlan.of(sweep), forks, progress, making, availableBytes);
  }

  /// The same for a plan.
  SweepRunner(SweepPlan plan, Forks forks, Progress progress, Records making, long availableBytes) {
    this.plan = plan;
    this.forks = forks;
    this.progress = progress;
    this.making = making;
    this.availableBytes = availableBytes;
  }

  /// Measures what the file does not hold yet.
  ///
  /// @param path result file, created if absent
  /// @throws IOException if the file cannot be read or written, is being written by another sweep,
  ///     or an input cannot be read
  public Summary run(Path path) throws IOException {
    List<Point> points = plan.points();
    ResultFile.Contents before = ResultFile.read(path);
    before.warnings().forEach(progress::say);
    try (ResultFile file = ResultFile.open(path)) {
      prepare(points, before.records(), file);
      boolean interrupted = measure(file);
      progress.end();
      List<ResultRecord> reached = new ArrayList<>();
      for (Point point : points) {
        ResultRecord record = known.get(point);
        if (record != null) {
          reached.add(record);
        }
      }
      return new Summary(List.copyOf(reached), interrupted);
    }
  }

  /// What [#run] would do, without measuring or writing anything.
  ///
  /// @param path result file; what it holds is not measured anew, and its rates are used
  /// @throws IOException if the file or an input cannot be read
  public Forecast forecast(Path path) throws IOException {
    Map<String, ResultRecord> byKey = byKey(ResultFile.read(path).records());
    List<Point> points = plan.points();
    Map<Point, Seen> all = new LinkedHashMap<>();
    for (Point point : points) {
      all.put(point, seen(point, byKey));
    }
    List<Forecast.Row> rows = new ArrayList<>();
    boolean measured = false;
    boolean assumed = false;
    for (Map.Entry<Point, Seen> entry : all.entrySet()) {
      Point point = entry.getKey();
      Seen seen = entry.getValue();
      Problem problem = seen.problem;
      Forecast.Fate fate =
          problem == null || !seen.reason.isEmpty()
              ? Forecast.Fate.SKIP
              : forksOf(point) >= plan.effort().forks()
                  ? Forecast.Fate.MEASURED
                  : Forecast.Fate.MEASURE;
      boolean runs = fate != Forecast.Fate.SKIP;
      if (problem != null && fate == Forecast.Fate.MEASURE) {
        measured |= pace.knows(problem);
        assumed |= !pace.knows(problem);
      }
      rows.add(
          new Forecast.Row(
              point,
              fate,
              problem != null && runs ? pace.callSeconds(problem) : 0,
              problem == null ? 0 : heapBytes(problem),
              seen.reason));
    }
    String rates =
        (measured ? "rates measured in " + path + (assumed ? "; of others " : "") : "")
            + (assumed ? "assumed: counted work at " + pace.assumption() : "");
    double peakSeconds =
        pace.peakSeconds() * points.stream().mapToInt(Point::threads).distinct().count();
    double left = timeLeft().toMillis() / 1000.0;
    return new Forecast(rows, plan.effort().forks(), left == 0 ? 0 : left + peakSeconds, rates);
  }

  /// Takes what is known, records what will not be attempted, and keeps the rest as problems.
  private void prepare(List<Point> points, List<ResultRecord> before, ResultFile file)
      throws IOException {
    Map<String, ResultRecord> byKey = byKey(before);
    for (Point point : points) {
      Seen seen = seen(point, byKey);
      if (seen.problem != null && seen.reason.isEmpty()) {
        continue;
      }
      if (seen.earlier == null) {
        append(file, point, seen.skipped);
        progress.say(seen.skipped.spec() + " n=" + point.n() + ": skipped: " + seen.reason);
      } else {
        known.putIfAbsent(point, seen.earlier);
      }
    }
  }

  /// A point before it is measured.
  private record Seen(
      @Nullable Problem problem,
      String reason,
      ResultRecord skipped,
      @Nullable ResultRecord earlier) {}

  /// Looks at a point: what is known of it is taken, what can be measured is kept as a problem.
  private Seen seen(Point point, Map<String, ResultRecord> byKey) throws IOException {
    InputSource input = inputs.computeIfAbsent(point.input(), InputSource::parse);
    Problem problem;
    String reason;
    try {
      problem = Problem.of(point, input);
      reason = obstacle(problem);
    } catch (IllegalArgumentException e) {
      problem = null;
      reason = String.valueOf(e.getMessage());
    }
    ResultRecord skipped = making.skipped(point, problem, reason);
    ResultRecord earlier = byKey.get(skipped.key());
    if (earlier != null && earlier.status() != Status.SKIPPED) {
      ResultRecord usable = making.usable(earlier, plan.alone());
      if (usable != null) {
        known.put(point, making.planned(usable, plan.effort().forks()));
      }
      making.learn(earlier);
      if (problem != null) {
        pace.learn(problem, earlier);
      }
    }
    if (problem != null && reason.isEmpty()) {
      problems.put(point, problem);
    }
    return new Seen(problem, reason, skipped, earlier);
  }

  private static Map<String, ResultRecord> byKey(List<ResultRecord> records) {
    Map<String, ResultRecord> byKey = new HashMap<>();
    for (ResultRecord record : records) {
      byKey.put(record.key(), record);
    }
    return byKey;
  }

  private long heapBytes(Problem problem) {
    return heapBytes.computeIfAbsent(problem.point(), _ -> problem.heapBytes());
  }

  private String obstacle(Problem problem) {
    String refusal = problem.refusal();
    if (!refusal.isEmpty()) {
      return refusal;
    }
    long needed = heapBytes(problem);
    long usable = (long) (SHARE_OF_MEMORY * availableBytes);
    return needed <= usable
        ? ""
        : "needs " + mebibytes(needed) + " of memory, but " + mebibytes(usable) + " may be used";
  }

  private boolean measure(ResultFile file) throws IOException {
    int total = problems.size() * plan.effort().forks();
    int done = 0;
    for (Point point : problems.keySet()) {
      done += forksOf(point);
    }
    if (done > 0) {
      progress.say(done + " of " + total + " forks are in " + file.path() + " already");
    }
    for (int round = 0; round < plan.effort().forks(); round++) {
      for (List<Problem> group : groups(round)) {
        long start = System.nanoTime();
        int finished = fork(file, group);
        pace.took(group, settings(group), (System.nanoTime() - start) / 1e9);
        for (Problem problem : group.subList(0, finished)) {
          done++;
          progress.forkDone(done, total, described(problem.point()), timeLeft());
        }
        if (finished < group.size()) {
          return true;
        }
      }
    }
    return false;
  }

  /// What a round has to measure: the lengths of one mechanism together as far as memory allows, or
  /// each alone where the plan says so. Groups, and the lengths of a group, are in an order of the
  /// round's own: what a length has from those before it in its process then differs from fork to
  /// fork, and shows as their spread.
  private List<List<Problem>> groups(int round) {
    Map<Point, List<Problem>> byMechanism = new LinkedHashMap<>();
    for (Problem problem : problems.values()) {
      if (forksOf(problem.point()) <= round) {
        byMechanism
            .computeIfAbsent(problem.point().withLength(1), _ -> new ArrayList<>())
            .add(problem);
      }
    }
    List<List<Problem>> groups = new ArrayList<>();
    for (List<Problem> lengths : byMechanism.values()) {
      lengths.sort(Comparator.comparingInt(problem -> problem.point().n()));
      List<Problem> group = new ArrayList<>();
      long bytes = 0;
      for (Problem problem : lengths) {
        bytes += heapBytes(problem);
        if (!group.isEmpty() && (plan.alone() || bytes > SHARE_OF_MEMORY * availableBytes)) {
          groups.add(group);
          group = new ArrayList<>();
          bytes = heapBytes(problem);
        }
        group.add(problem);
      }
      groups.add(group);
    }
    Random order = new Random(Draws.seedFor(Draws.DEFAULT_SEED, "round" + round));
    Collections.shuffle(groups, order);
    for (List<Problem> group : groups) {
      String name = "lengths" + round + group.getFirst().point().withLength(1);
      Collections.shuffle(group, new Random(Draws.seedFor(Draws.DEFAULT_SEED, name)));
    }
    return groups;
  }

  /// Runs one fork and records it; returns how many of its points were reached before the user
  /// stopped the sweep.
  private int fork(ResultFile file, List<Problem> group) throws IOException {
    Peak peak = peaks.computeIfAbsent(group.getFirst().point().threads(), this::measurePeak);
    pace.peak(peak);
    List<Forks.Wish> wishes = new ArrayList<>();
    for (Problem problem : group) {
      ResultRecord earlier = known.get(problem.point());
      wishes.add(
          new Forks.Wish(earlier == null || earlier.error() == null, !making.knowsRows(problem)));
    }
    List<Forks.Outcome> outcomes = forks.run(group, settings(group), wishes);
    for (int i = 0; i < outcomes.size(); i++) {
      if (!record(file, group.get(i), outcomes.get(i), peak)) {
        return i;
      }
    }
    return outcomes.size();
  }

  /// Records one outcome; false when the user stopped the sweep.
  private boolean record(
      ResultFile file, Problem problem, Forks.Outcome outcome, @Nullable Peak peak)
      throws IOException {
    Point point = problem.point();
    ResultRecord earlier = known.get(point);
    switch (outcome) {
      case Forks.Measured measured -> {
        ResultRecord record =
            making.measured(problem, earlier, measured, peak, plan.effort().forks());
        making.learn(record);
        pace.learn(problem, record);
        append(file, point, record);
        Conditions conditions = measured.facts().conditions();
        if (conditions != null && conditions.unsteady() != null) {
          progress.say(point.spec() + " n=" + point.n() + ": unsteady: " + conditions.unsteady());
        }
      }
      case Forks.Refused refused ->
          append(file, point, making.skipped(point, problem, refused.reason()));
      case Forks.Died died -> append(file, point, making.failed(problem, earlier, died.reason()));
      case Forks.Interrupted _ -> {
        return false;
      }
    }
    return true;
  }

  private @Nullable Peak measurePeak(int threads) {
    Peak peak = forks.peak(threads);
    if (peak == null) {
      progress.say("the machine's peak could not be measured");
    }
    return peak;
  }

  private void append(ResultFile file, Point point, ResultRecord record) throws IOException {
    file.append(record);
    known.put(point, record);
  }

  /// A call that takes long is measured less often: the warm-up before it is enough.
  private Forks.Settings settings(List<Problem> group) {
    Forks.Settings usual = plan.effort().settings();
    double longest = group.stream().mapToDouble(pace::callSeconds).max().orElse(0);
    return longest > LONG_CALL_SECONDS
        ? new Forks.Settings(0, Math.min(3, usual.iterations()), usual.iterationMillis())
        : usual;
  }

  private int forksOf(Point point) {
    ResultRecord record = known.get(point);
    if (record == null) {
      return 0;
    }
    return record.status() == Status.OK ? record.forks() : plan.effort().forks();
  }

  private Duration timeLeft() {
    double seconds = 0;
    for (int round = 0; round < plan.effort().forks(); round++) {
      for (List<Problem> group : groups(round)) {
        seconds += pace.forkSeconds(group, settings(group));
      }
    }
    return Duration.ofMillis((long) (1000 * seconds));
  }

  private String described(Point point) {
    ResultRecord record = known.get(point);
    String name = point.spec() + " n=" + point.n();
    if (record == null) {
      return name;
    }
    return name
        + ": "
        + (record.time() == null || record.status() != Status.OK
            ? record.status().name().toLowerCase(Locale.ROOT) + ": " + record.reason()
            : Progress.seconds(record.time().median()) + (record.unsteady() ? ", unsteady" : ""));
  }

  private static String mebibytes(long bytes) {
    return (bytes >> 20) + " MiB";
  }
}
