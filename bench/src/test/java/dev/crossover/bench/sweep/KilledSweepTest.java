// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jmh.JmhForks;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Peak;
import dev.crossover.bench.result.ResultRecord.Status;
import dev.crossover.bench.sweep.Sweep.Effort;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.Random;
import java.util.TreeMap;
import java.util.TreeSet;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A sweep in a process of its own, killed without warning while it measures.
class KilledSweepTest {
  private static final long PATIENCE_SECONDS = 120;
  private static final int KILLS = 10;

  @TempDir Path folder;

  /// The sweep that is killed and continued: with forks of real processes, or, given a file to
  /// count them in, with forks that only take time.
  public static void main(String[] arguments) throws IOException {
    Path file = Path.of(arguments[0]);
    if (arguments.length > 1) {
      run(pretended(), new PretendedForks(Path.of(arguments[1])), file);
    } else {
      run(real(), new JmhForks(), file);
    }
  }

  @Test
  void killedSweepIsContinuedFromItsLastFinishedFork() throws Exception {
    Path file = folder.resolve("results.jsonl");
    Process sweep = start(file.toString());
    waitForALine(file, sweep);
    kill(sweep);
    List<ResultRecord> before = ResultFile.read(file).records();
    assertTrue(before.size() >= 1 && before.size() < 3, "killed too late to show anything");

    SweepRunner.Summary summary = run(real(), new JmhForks(), file);
    assertFalse(summary.interrupted());
    assertEquals(3, summary.count(Status.OK), summary.toString());
    List<ResultRecord> after = ResultFile.read(file).records();
    assertEquals(3, after.size());
    for (int i = 0; i < before.size(); i++) {
      if (!before.get(i).unsteady()) {
        assertEquals(before.get(i), after.get(i), "finished forks are not repeated");
      }
    }
  }

  /// Moments are drawn from the time between two kills' first record and about twenty forks later,
  /// so that kills fall into forks, into writing and between them.
  @Test
  void tenKillsAtRandomMomentsLoseNoFinishedForkAndEndWithTheSamePoints() throws Exception {
    Path file = folder.resolve("results.jsonl");
    Path counter = folder.resolve("forks");
    Random moments = new Random(20_240_607);
    TreeMap<String, Integer> known = new TreeMap<>();
    int kills = 0;
    for (int k = 0; k < KILLS; k++) {
      long lines = linesOf(file);
      Process sweep = start(file.toString(), counter.toString());
      waitForMoreThan(lines, file, sweep);
      Thread.sleep(moments.nextInt(120));
      kills += sweep.isAlive() ? 1 : 0;
      kill(sweep);
      TreeMap<String, Integer> now = forks(file);
      known.forEach(
          (key, forks) -> assertTrue(now.getOrDefault(key, 0) >= forks, "lost a fork of " + key));
      assertTrue(total(now) > total(known), "every start gets ahead");
      known = now;
    }
    assertEquals(KILLS, kills, "the sweep ended before it could be killed");
    SweepRunner.Summary summary = run(pretended(), new PretendedForks(counter), file);
    assertFalse(summary.interrupted());

    Path whole = folder.resolve("whole.jsonl");
    SweepRunner.Summary unbroken =
        run(pretended(), new PretendedForks(folder.resolve("others")), whole);
    assertEquals(keys(unbroken.records()), keys(summary.records()));
    assertEquals(keys(unbroken.records()), keys(ResultFile.read(file).records()));
    assertTrue(summary.records().stream().allMatch(ResultRecord::finished));
    assertEquals(forks(whole), forks(file));
    long ran = Files.size(counter);
    long needed = total(forks(whole));
    assertTrue(ran >= needed && ran <= needed + KILLS, "a kill costs at most one fork: " + ran);
  }

  private Process start(String... arguments) throws IOException {
    String[] java = {
      Path.of(System.getProperty("java.home"), "bin", "java").toString(),
      "--add-modules=jdk.incubator.vector",
      "-cp",
      System.getProperty("java.class.path"),
      KilledSweepTest.class.getName()
    };
    ProcessBuilder builder = new ProcessBuilder(java);
    builder.command().addAll(List.of(arguments));
    return builder
        .redirectErrorStream(true)
        .redirectOutput(folder.resolve("output").toFile())
        .start();
  }

  private static void kill(Process sweep) throws InterruptedException {
    sweep.destroyForcibly();
    assertTrue(sweep.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS));
  }

  private void waitForALine(Path file, Process sweep) throws Exception {
    waitForMoreThan(0, file, sweep);
  }

  private void waitForMoreThan(long lines, Path file, Process sweep) throws Exception {
    long end = System.nanoTime() + TimeUnit.SECONDS.toNanos(PATIENCE_SECONDS);
    while (System.nanoTime() < end && sweep.isAlive()) {
      if (linesOf(file) > lines) {
        return;
      }
      Thread.sleep(5);
    }
    throw new AssertionError(
        "no record was written: " + Files.readString(folder.resolve("output")));
  }

  private static long linesOf(Path file) throws IOException {
    return Files.exists(file) ? Files.readString(file).chars().filter(c -> c == '\n').count() : 0;
  }

  private static TreeMap<String, Integer> forks(Path file) throws IOException {
    TreeMap<String, Integer> forks = new TreeMap<>();
    for (ResultRecord record : ResultFile.read(file).records()) {
      forks.put(record.key(), record.forks());
    }
    return forks;
  }

  private static int total(TreeMap<String, Integer> forks) {
    return forks.values().stream().mapToInt(Integer::intValue).sum();
  }

  private static TreeSet<String> keys(List<ResultRecord> records) {
    TreeSet<String> keys = new TreeSet<>();
    for (ResultRecord record : records) {
      assertTrue(keys.add(record.key()));
    }
    return keys;
  }

  private static SweepRunner.Summary run(Sweep sweep, Forks forks, Path file) throws IOException {
    return new SweepRunner(sweep, forks, new Progress(new StringBuilder(), false)).run(file);
  }

  private static Sweep real() {
    return sweep(List.of("tiled", "longformer", "linear_transformer"), List.of(32), 1);
  }

  /// 32 points of 12 forks, one length in a process.
  private static Sweep pretended() {
    List<String> specs =
        java.util.stream.IntStream.rangeClosed(1, 32)
            .mapToObj(w -> "longformer:window=" + w)
            .toList();
    return sweep(specs, List.of(32), 12);
  }

  private static Sweep sweep(List<String> specs, List<Integer> lengths, int forks) {
    Sweep d = Sweep.defaults(1);
    return new Sweep(
        d.studies(),
        specs,
        lengths,
        d.dims(),
        d.heads(),
        d.batches(),
        d.masks(),
        d.threads(),
        d.inputs(),
        d.seeds(),
        new Effort(forks, new Forks.Settings(1, 2, 10)),
        0,
        1);
  }

  /// Forks that take a few milliseconds, measure nothing and are counted in a file.
  private record PretendedForks(Path counter) implements Forks {
    @Override
    public Outcome run(Problem problem, Settings settings, Wish wish) {
      try {
        Files.write(counter, new byte[1], StandardOpenOption.CREATE, StandardOpenOption.APPEND);
        Thread.sleep(3);
      } catch (IOException | InterruptedException e) {
        throw new IllegalStateException(e);
      }
      return new Measured(List.of(0.5, 0.5), new Facts(10, 0, null, 0.0, null, "scalar"));
    }

    @Override
    public Peak peak(int threads) {
      return new Peak(100, 10);
    }
  }
}
