// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.machine.Machine;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.ErrorNorms;
import dev.crossover.bench.result.ResultRecord.Peak;
import dev.crossover.bench.result.ResultRecord.PeakRange;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Sweep.Effort;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class SweepRunnerTest {
  private static final long PLENTY = 64L << 30;
  private static final List<String> SPECS =
      List.of("tiled", "materialised", "performer", "longformer:window=8");

  @TempDir Path folder;

  @Test
  void everyPointGetsItsForksInRoundsOfDifferentOrder() throws IOException {
    ScriptedForks forks = new ScriptedForks(point -> measured(0.5));
    SweepRunner.Summary summary = runner(forks, sweep(64, 128, 256, 512), PLENTY).run(file());
    assertFalse(summary.interrupted());
    assertEquals(8, summary.records().size());
    assertEquals(8, summary.count(Status.OK));
    assertTrue(summary.records().stream().allMatch(r -> r.finished() && r.forks() == 2));
    List<String> first = forks.ran.subList(0, 8);
    List<String> second = forks.ran.subList(8, 16);
    assertEquals(new HashSet<>(first), new HashSet<>(second));
    assertNotEquals(first, second);
    assertEquals(summary.records(), inSweepOrder(ResultFile.read(file()).records(), summary));
  }

  @Test
  void errorAndAttentionRowsAreAskedForOnce() throws IOException {
    ScriptedForks forks = new ScriptedForks(point -> measured(0.5));
    runner(forks, sweep(64), PLENTY).run(file());
    assertEquals(2, forks.wishes.stream().filter(Forks.Wish::error).count());
    ResultRecord record = ResultFile.read(file()).records().getFirst();
    assertNotNull(record.error());
    assertNotNull(record.counted());
    assertEquals(new Peak(100, 10), record.peak());
  }

  @Test
  void sweepStoppedAfterAnyForkIsContinuedWithoutRepeatingOne() throws IOException {
    Set<String> whole = new HashSet<>();
    for (int stopAfter = 0; stopAfter < 8; stopAfter++) {
      Path path = folder.resolve("stopped" + stopAfter + ".jsonl");
      int limit = stopAfter;
      List<String> all = new ArrayList<>();
      ScriptedForks stopped =
          new ScriptedForks(
              point -> all.size() < limit ? measured(0.5) : new Forks.Interrupted(), all);
      SweepRunner.Summary first = runner(stopped, sweep(64, 128), PLENTY).run(path);
      assertTrue(first.interrupted());
      ScriptedForks continued = new ScriptedForks(point -> measured(0.5));
      SweepRunner.Summary second = runner(continued, sweep(64, 128), PLENTY).run(path);
      assertFalse(second.interrupted());
      assertEquals(8 - stopAfter, continued.ran.size(), "stopped after " + stopAfter);
      assertEquals(4, second.count(Status.OK));
      assertTrue(second.records().stream().allMatch(r -> r.forks() == 2));
      whole.add(keys(second));
    }
    assertEquals(1, whole.size(), "every way of stopping ends with the same points");
  }

  @Test
  void fileCutAtAnyByteIsContinuedToTheSamePoints() throws IOException {
    Path complete = file();
    String expected =
        keys(runner(new ScriptedForks(p -> measured(0.5)), sweep(64), PLENTY).run(complete));
    byte[] bytes = Files.readAllBytes(complete);
    Path cut = folder.resolve("cut.jsonl");
    for (int length = 0; length <= bytes.length; length += 7) {
      Files.write(cut, Arrays.copyOf(bytes, length));
      SweepRunner.Summary summary =
          runner(new ScriptedForks(p -> measured(0.5)), sweep(64), PLENTY).run(cut);
      assertEquals(expected, keys(summary), "cut at byte " + length);
      assertTrue(summary.records().stream().allMatch(ResultRecord::finished));
    }
  }

  @Test
  void dyingForkIsRecordedWithItsReasonAndTheSweepGoesOn() throws IOException {
    ScriptedForks forks =
        new ScriptedForks(
            point ->
                point.spec().equals("tiled") ? new Forks.Died("out of memory\nmore") : measured(1));
    SweepRunner.Summary summary = runner(forks, sweep(64, 128), PLENTY).run(file());
    assertEquals(2, summary.count(Status.OK));
    assertEquals(2, summary.count(Status.FAILED));
    ResultRecord failed =
        summary.records().stream().filter(r -> r.status() == Status.FAILED).findFirst().get();
    assertEquals("out of memory", failed.reason());
    assertNull(failed.time());
    assertEquals(6, forks.ran.size(), "a failed point is not tried again");
    ScriptedForks again = new ScriptedForks(point -> measured(1));
    runner(again, sweep(64, 128), PLENTY).run(file());
    assertEquals(0, again.ran.size());
  }

  @Test
  void pointThatDoesNotFitIsNeverAttempted() throws IOException {
    ScriptedForks forks = new ScriptedForks(point -> measured(0.5));
    SweepRunner.Summary summary = runner(forks, sweep(64, 8192), 600L << 20).run(file());
    ResultRecord skipped =
        summary.records().stream().filter(r -> r.status() == Status.SKIPPED).findFirst().get();
    assertEquals(1, summary.count(Status.SKIPPED));
    assertEquals("materialised", skipped.mechanism());
    assertEquals(8192, skipped.shape().n());
    assertTrue(skipped.reason().contains("MiB"), skipped.reason());
    assertFalse(forks.ran.contains("materialised 8192"));
  }

  @Test
  void lengthBeyondTheInputAndRefusalsAreSkippedWithTheReason() throws IOException {
    ScriptedForks forks =
        new ScriptedForks(
            point -> point.spec().equals("tiled") ? new Forks.Refused("tiled: no") : measured(0.5));
    SweepRunner.Summary summary = runner(forks, sweep(64, 16384), PLENTY).run(file());
    assertEquals(3, summary.count(Status.SKIPPED));
    assertTrue(summary.records().stream().anyMatch(r -> "tiled: no".equals(r.reason())));
    assertTrue(
        summary.records().stream()
            .anyMatch(r -> r.reason() != null && r.reason().contains("8192")));
  }

  @Test
  void moreForksContinueAFinishedSweep() throws IOException {
    runner(new ScriptedForks(point -> measured(0.5)), sweep(64), PLENTY).run(file());
    Sweep more = withEffort(sweep(64), Effort.QUICK.withForks(3));
    ScriptedForks forks = new ScriptedForks(point -> measured(0.5));
    SweepRunner.Summary summary = runner(forks, more, PLENTY).run(file());
    assertEquals(2, forks.ran.size());
    assertTrue(summary.records().stream().allMatch(r -> r.forks() == 3 && r.finished()));
  }

  @Test
  void anotherCommitIsMeasuredAnew() throws IOException {
    runner(new ScriptedForks(point -> measured(0.5)), sweep(64), PLENTY).run(file());
    ScriptedForks forks = new ScriptedForks(point -> measured(0.5));
    new SweepRunner(sweep(64), forks, quiet(), records("other"), PLENTY).run(file());
    assertEquals(4, forks.ran.size());
    assertEquals(4, ResultFile.read(file()).records().size());
  }

  @Test
  void shardsTogetherAreTheWhole() {
    Sweep whole = Sweep.defaults(2);
    List<Point> together = new ArrayList<>();
    for (int i = 0; i < 3; i++) {
      together.addAll(
          new Sweep(
                  whole.studies(),
                  List.of("tiled", "materialised"),
                  whole.lengths(),
                  whole.dims(),
                  whole.heads(),
                  whole.batches(),
                  whole.masks(),
                  whole.threads(),
                  whole.inputs(),
                  whole.seeds(),
                  whole.effort(),
                  i,
                  3)
              .points());
    }
    assertEquals(12, together.size());
    assertEquals(12, new HashSet<>(together).size());
  }

  @Test
  void noCurveIsSplitOverShards() {
    SweepPlan whole = SweepPlan.of(withSpecs(sweep(64, 128, 256), SPECS));
    List<Set<String>> shards = new ArrayList<>();
    for (int shard = 0; shard < 2; shard++) {
      List<Point> points = new SweepPlan(whole.parts(), whole.effort(), shard, 2).points();
      Set<String> specs = new HashSet<>();
      points.forEach(point -> specs.add(point.spec()));
      assertEquals(3 * specs.size(), points.size(), "every length of every mechanism of a shard");
      shards.add(specs);
    }
    assertEquals(Set.of("tiled", "performer"), shards.get(0));
    assertEquals(Set.of("materialised", "longformer:window=8"), shards.get(1));
  }

  @Test
  void forecastMeasuresAndWritesNothingAndKnowsWhatIsMeasuredOrDoesNotFit() throws IOException {
    ScriptedForks forks = new ScriptedForks(point -> measured(0.5));
    Forecast before = runner(forks, sweep(64, 8192), 600L << 20).forecast(file());
    assertEquals(0, forks.ran.size());
    assertFalse(Files.exists(file()));
    assertEquals(3, before.count(Forecast.Fate.MEASURE));
    assertEquals(1, before.count(Forecast.Fate.SKIP));
    assertTrue(before.rates().contains("assumed"), before.rates());
    assertTrue(before.seconds() > 0);
    Forecast.Row skipped =
        before.rows().stream().filter(r -> r.fate() == Forecast.Fate.SKIP).findFirst().get();
    assertEquals("materialised", skipped.point().spec());
    assertTrue(skipped.reason().contains("MiB"), skipped.reason());
    assertTrue(skipped.heapBytes() > 510L << 20);

    runner(forks, sweep(64), 600L << 20).run(file());
    Forecast after = runner(forks, sweep(64, 8192), 600L << 20).forecast(file());
    assertEquals(2, after.count(Forecast.Fate.MEASURED));
    assertEquals(1, after.count(Forecast.Fate.MEASURE));
    assertTrue(after.rates().contains("measured in"), after.rates());
    runner(forks, sweep(64, 8192), 600L << 20).run(file());
    Forecast done = runner(forks, sweep(64, 8192), 600L << 20).forecast(file());
    assertEquals(0, done.count(Forecast.Fate.MEASURE));
    assertEquals(0, done.seconds());
  }

  /// Work grows fourfold when n doubles, and so must the prediction once one length is known.
  @Test
  void predictedTimeFollowsTheCountedWork() throws IOException {
    runner(new ScriptedForks(point -> measured(0.5)), sweep(512), PLENTY).run(file());
    Forecast forecast =
        runner(new ScriptedForks(point -> measured(1)), sweep(512, 1024), PLENTY).forecast(file());
    for (Forecast.Row row : forecast.rows()) {
      double expected = row.point().n() == 512 ? 0.5 : 2;
      assertEquals(expected, row.callSeconds(), 0.05 * expected, row.toString());
    }
  }

  @Test
  void everyForkKeepsTheConditionsItSaw() throws IOException {
    int[] forks = new int[1];
    ScriptedForks seeing =
        new ScriptedForks(
            point ->
                new Forks.Measured(List.of(0.5), seen(new Conditions(1.5 + forks[0]++, 2600.0))));
    SweepRunner.Summary summary = runner(seeing, sweep(64), PLENTY).run(file());
    List<Double> loads = new ArrayList<>();
    for (ResultRecord record : ResultFile.read(file()).records()) {
      assertEquals(record.forks(), record.time().conditions().size());
      for (Conditions conditions : record.time().conditions()) {
        assertEquals(2600.0, conditions.megahertz());
        loads.add(conditions.loadAverage());
      }
    }
    assertEquals(forks[0], loads.stream().distinct().count());
    assertEquals(summary.records().size(), ResultFile.read(file()).records().size());
  }

  /// The first two forks of the longer length are unsteady, and so is one that repeats them.
  @Test
  void unsteadyForksAreMarkedWarnedOfAndRepeatedByTheNextRun() throws IOException {
    StringBuilder console = new StringBuilder();
    int[] bad = {3};
    Function<Point, Forks.Outcome> script =
        point ->
            point.n() == 128 && point.spec().equals("tiled") && bad[0]-- > 0
                ? unsteady("its code was still being compiled")
                : measured(0.5);
    SweepRunner.Summary first = told(script, console).run(file());
    assertEquals(4, first.count(Status.OK));
    assertEquals(1, first.unsteady());
    ResultRecord marked =
        ResultFile.read(file()).records().stream().filter(ResultRecord::unsteady).findFirst().get();
    assertEquals("tiled 128", marked.spec() + " " + marked.shape().n());
    assertEquals("2 of 2 forks: its code was still being compiled", marked.unsteadiness());
    assertFalse(marked.finished());
    assertTrue(
        console.toString().contains("tiled n=128: unsteady: its code was still being compiled"),
        console.toString());

    List<String> again = new ArrayList<>();
    SweepRunner.Summary second =
        runner(new ScriptedForks(script, again), sweep(64, 128), PLENTY).run(file());
    assertEquals(List.of("tiled 128", "tiled 128"), again);
    assertEquals(1, second.unsteady());
    List<String> last = new ArrayList<>();
    SweepRunner.Summary third =
        runner(new ScriptedForks(script, last), sweep(64, 128), PLENTY).run(file());
    assertEquals(List.of("tiled 128"), last, "the steady fork of the run before counts");
    assertEquals(0, third.unsteady());
    assertTrue(ResultFile.read(file()).records().stream().allMatch(ResultRecord::finished));
  }

  @Test
  void lengthsAreMeasuredInAnOrderOfEachForksOwn() throws IOException {
    Integer[] lengths = {64, 128, 256, 512, 1024};
    List<String> ran = new ArrayList<>();
    Sweep sweep = withEffort(sweep(lengths), Effort.QUICK.withForks(4));
    runner(new ScriptedForks(point -> measured(0.5), ran), sweep, PLENTY).run(file());
    Set<List<String>> orders = new HashSet<>();
    for (int fork = 0; fork < ran.size(); fork += lengths.length) {
      List<String> together = ran.subList(fork, fork + lengths.length);
      assertEquals(1, together.stream().map(point -> point.split(" ")[0]).distinct().count());
      orders.add(together.stream().map(point -> point.split(" ")[1]).toList());
    }
    assertEquals(8, ran.size() / lengths.length);
    assertTrue(orders.size() > 5, orders.toString());
    List<String> repeated = new ArrayList<>();
    runner(new ScriptedForks(point -> measured(0.5), repeated), sweep, PLENTY)
        .run(folder.resolve("again.jsonl"));
    assertEquals(ran, repeated, "the orders are seeded");
  }

  @Test
  void pointsMeasuredAloneShareNoForkAndDoNotCountThoseThatWereShared() throws IOException {
    List<Integer> sizes = new ArrayList<>();
    SweepPlan alone = new SweepPlan(List.of(sweep(64, 128)), Effort.QUICK.withForks(2), 0, 1, true);
    runner(grouped(sizes), alone).run(file());
    assertEquals(java.util.Collections.nCopies(8, 1), sizes);
    sizes.clear();
    runner(grouped(sizes), alone).run(file());
    assertEquals(List.of(), sizes, "alone they count");

    Path shared = folder.resolve("shared.jsonl");
    runner(grouped(sizes), SweepPlan.of(sweep(64, 128))).run(shared);
    assertEquals(java.util.Collections.nCopies(4, 2), sizes);
    sizes.clear();
    runner(grouped(sizes), alone).run(shared);
    assertEquals(java.util.Collections.nCopies(8, 1), sizes, "together they do not count as alone");
  }

  @Test
  void peakOfARecordIsThatOfItsForks() throws IOException {
    double[] peaks = {90, 96, 100};
    int[] fork = new int[1];
    Sweep sweep = withEffort(withSpecs(sweep(64), List.of("tiled")), Effort.QUICK.withForks(3));
    ScriptedForks forks =
        new ScriptedForks(
            point -> {
              double peak = peaks[fork[0]++];
              return new Forks.Measured(
                  List.of(0.5),
                  seen(
                      new Conditions(
                          null, null, null, 1, new PeakRange(peak - 1, peak, peak + 1))));
            });
    ResultRecord record = runner(forks, sweep, PLENTY).run(file()).records().getFirst();
    assertEquals(new Peak(96, 10), record.peak());
    assertEquals(101.0 / 89 - 1, record.peakMoved(), 1e-12);
    assertEquals("the peak moved by 13 %", record.disturbance());
  }

  @Test
  void typingErrorsAreFoundBeforeAnythingRuns() {
    IllegalArgumentException refused =
        assertThrows(
            IllegalArgumentException.class, () -> withSpecs(sweep(64), List.of("materialized")));
    assertTrue(refused.getMessage().contains("did you mean materialised?"));
    assertThrows(IllegalArgumentException.class, () -> Effort.QUICK.withForks(0));
  }

  private Path file() {
    return folder.resolve("results.jsonl");
  }

  private static SweepRunner runner(Forks forks, Sweep sweep, long available) {
    return new SweepRunner(sweep, forks, quiet(), records("abc"), available);
  }

  private SweepRunner told(Function<Point, Forks.Outcome> script, StringBuilder console) {
    return new SweepRunner(
        sweep(64, 128),
        new ScriptedForks(script),
        new Progress(console, false),
        records("abc"),
        PLENTY);
  }

  private static SweepRunner runner(Forks forks, SweepPlan plan) {
    return new SweepRunner(plan, forks, quiet(), records("abc"), PLENTY);
  }

  /// Forks that remember how many lengths each was given.
  private static Forks grouped(List<Integer> sizes) {
    return new Forks() {
      @Override
      public Outcome run(Problem problem, Settings settings, Wish wish) {
        return run(List.of(problem), settings, List.of(wish)).getFirst();
      }

      @Override
      public List<Outcome> run(List<Problem> problems, Settings settings, List<Wish> wishes) {
        sizes.add(problems.size());
        Conditions conditions = new Conditions(null, null, null, problems.size(), null);
        return problems.stream()
            .map(problem -> (Outcome) new Measured(List.of(0.5), seen(conditions)))
            .toList();
      }

      @Override
      public Peak peak(int threads) {
        return new Peak(100, 10);
      }
    };
  }

  private static Forks.Outcome unsteady(String reason) {
    return new Forks.Measured(List.of(4.0), seen(new Conditions(null, null, reason, 2, null)));
  }

  private static Records records(String commit) {
    return new Records(new Machine("cpu", 2, 1L << 34, "os", "25"), commit, "scalar");
  }

  private static Progress quiet() {
    return new Progress(new StringBuilder(), false);
  }

  private static Sweep sweep(Integer... lengths) {
    Sweep d = Sweep.defaults(1);
    return new Sweep(
        d.studies(),
        List.of("tiled", "materialised"),
        List.of(lengths),
        d.dims(),
        d.heads(),
        d.batches(),
        d.masks(),
        d.threads(),
        d.inputs(),
        d.seeds(),
        d.effort().withForks(2),
        0,
        1);
  }

  private static Sweep withEffort(Sweep s, Effort effort) {
    return new Sweep(
        s.studies(),
        s.specs(),
        s.lengths(),
        s.dims(),
        s.heads(),
        s.batches(),
        s.masks(),
        s.threads(),
        s.inputs(),
        s.seeds(),
        effort,
        s.shard(),
        s.shards());
  }

  private static Sweep withSpecs(Sweep s, List<String> specs) {
    return new Sweep(
        s.studies(),
        specs,
        s.lengths(),
        s.dims(),
        s.heads(),
        s.batches(),
        s.masks(),
        s.threads(),
        s.inputs(),
        s.seeds(),
        s.effort(),
        s.shard(),
        s.shards());
  }

  private static Forks.Facts seen(Conditions conditions) {
    return new Forks.Facts(10, 0, null, 0.0, null, "scalar").withConditions(conditions);
  }

  private static Forks.Outcome measured(double seconds) {
    return new Forks.Measured(
        List.of(seconds, seconds),
        new Forks.Facts(10, 0, null, 0.0, new ErrorNorms(0, 0, 1, List.of()), "scalar"));
  }

  private static String keys(SweepRunner.Summary summary) {
    return summary.records().stream().map(ResultRecord::key).sorted().toList().toString();
  }

  private static List<ResultRecord> inSweepOrder(
      List<ResultRecord> records, SweepRunner.Summary summary) {
    List<String> keys = summary.records().stream().map(ResultRecord::key).toList();
    return records.stream()
        .sorted((a, b) -> keys.indexOf(a.key()) - keys.indexOf(b.key()))
        .toList();
  }

  /// Forks that answer from a script and remember what they were asked.
  private static final class ScriptedForks implements Forks {
    private final Function<Point, Outcome> script;
    private final List<String> ran;
    private final List<Wish> wishes = new ArrayList<>();

    ScriptedForks(Function<Point, Outcome> script) {
      this(script, new ArrayList<>());
    }

    ScriptedForks(Function<Point, Outcome> script, List<String> ran) {
      this.script = script;
      this.ran = ran;
    }

    @Override
    public Outcome run(Problem problem, Settings settings, Wish wish) {
      assertEquals(Study.FORWARD, problem.point().study());
      Outcome outcome = script.apply(problem.point());
      ran.add(problem.point().spec() + " " + problem.point().n());
      wishes.add(wish);
      return outcome;
    }

    @Override
    public Peak peak(int threads) {
      return new Peak(100, 10);
    }
  }
}
