// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.quality.QualityRecord;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.result.ResultFile;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Peak;
import dev.crossover.bench.sweep.Forks;
import dev.crossover.bench.sweep.Problem;
import dev.crossover.bench.sweep.Progress;
import dev.crossover.bench.sweep.SweepFile;
import dev.crossover.bench.sweep.SweepPlan;
import dev.crossover.bench.sweep.SweepRunner;
import dev.crossover.bench.tune.FrontFile;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.QualityRecords;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Set;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class MergeCommandTest {
  private static final String SWEEP =
      "mechanisms: [tiled, {longformer: {window: [1, 2, 3]}}]\nlengths: [16, 32, 64]\nforks: 2\n";

  @TempDir Path folder;
  private String said = "";

  @Test
  void shardsOfATrainingAreJoinedAndNeverMixedWithSweeps() throws IOException {
    QualityRecord first = QualityRecords.run("mqar", "tiled", "1e-3", 1, 1, 64, 0.5);
    QualityRecord second = QualityRecords.run("mqar", "tiled", "1e-3", 2, 1, 64, 0.7);
    QualityRecord again = QualityRecords.run("mqar", "tiled", "1e-3", 1, 1, 64, 0.9);
    Path a = folder.resolve("a-quality.jsonl");
    Path b = folder.resolve("b-quality.jsonl");
    JsonLines.replace(a, List.of(first, second));
    JsonLines.replace(b, List.of(again));
    Path all = folder.resolve("quality.jsonl");
    StringWriter said = new StringWriter();
    PrintWriter writer = new PrintWriter(said, true);
    assertEquals(0, Main.run(writer, writer, "merge", all.toString(), a.toString(), b.toString()));
    assertEquals(List.of(again, second), new QualityFile(all).read().records());
    Path sweep = folder.resolve("sweep.jsonl");
    assertEquals(Main.USAGE, Main.run(writer, writer, "merge", sweep.toString(), a.toString()));
    assertTrue(said.toString().contains("must all be of sweeps or all end with"), said.toString());
    assertFalse(Files.exists(sweep));
  }

  @Test
  void mergedShardsAreTheWhole() throws IOException {
    Path whole = measured(SWEEP, 0, 1, "whole.jsonl");
    Path merged = folder.resolve("merged.jsonl");
    int code =
        merge(
            merged,
            measured(SWEEP, 0, 3, "a.jsonl"),
            measured(SWEEP, 1, 3, "b.jsonl"),
            measured(SWEEP, 2, 3, "c.jsonl"));
    assertEquals(0, code, said);
    assertEquals(12, keys(whole).size());
    assertEquals(keys(whole), keys(merged));
    assertTrue(ResultFile.read(merged).records().stream().allMatch(ResultRecord::finished));
  }

  @Test
  void whatShardsLackOfASweepIsToldByName() throws IOException {
    Path sweep = Files.writeString(folder.resolve("mine.yaml"), SWEEP + "threads: [1]\n");
    Path first = measured(SWEEP, 0, 3, "a.jsonl");
    Path third = measured(SWEEP, 2, 3, "c.jsonl");
    Path merged = folder.resolve("merged.jsonl");
    Path few = measured(SWEEP.replace("forks: 2", "forks: 1"), 1, 3, "few.jsonl");
    assertEquals(Main.FAILED, run("merge", merged, first, few, third, "--expect", sweep));
    assertTrue(said.contains("3 points of " + sweep + " missing"), said);
    Path second = measured(SWEEP, 1, 3, "b.jsonl");
    assertEquals(0, run("merge", merged, merged, second, "--expect", sweep), said);
    assertEquals(Main.FAILED, run("merge", merged, merged, "--expect", "quick"), said);
    Path part = folder.resolve("part.jsonl");
    assertEquals(Main.FAILED, run("merge", part, first, third, "--expect", sweep));
    assertEquals(9, keys(part).size(), "what is there is merged");
    assertTrue(said.contains("missing: forward longformer:window=1 n=16 causal"), said);
    assertTrue(said.contains("3 points of " + sweep + " missing"), said);
    assertEquals(Main.USAGE, run("merge", merged, merged, "--expect", "quik"));
    assertTrue(said.contains("did you mean quick?"), said);
  }

  @Test
  void whatShardsLackOfAGridIsToldByName() throws IOException {
    Path grid = folder.resolve("grid.yaml");
    Files.writeString(grid, "tasks: ['mqar:n=64,pairs=4']\nmixers: [tiled]\nseeds: 2\n");
    QualityRecord other = QualityRecords.run("mqar", "tiled", "1e-3", 1, 1, 64, 0.5);
    Path shard = folder.resolve("a-quality.jsonl");
    JsonLines.replace(shard, List.of(other));
    Path all = folder.resolve("quality.jsonl");
    assertEquals(Main.FAILED, run("merge", all, shard, "--expect", grid), said);
    assertTrue(said.contains("2 points of " + grid + " missing"), said);
  }

  @Test
  void recordWithMoreForksWinsWhateverTheOrder() throws IOException {
    Path few = measured(SWEEP.replace("forks: 2", "forks: 1"), 0, 1, "few.jsonl");
    Path more = measured(SWEEP, 0, 1, "more.jsonl");
    for (List<Path> order : List.of(List.of(few, more), List.of(more, few))) {
      Path merged = folder.resolve("merged" + order.indexOf(few) + ".jsonl");
      assertEquals(0, merge(merged, order.toArray(Path[]::new)), said);
      for (ResultRecord record : ResultFile.read(merged).records()) {
        assertEquals(2, record.forks());
      }
    }
  }

  @Test
  void whatWasTunedBesideTheFilesIsMergedBesideTheWhole() throws IOException {
    Path first = measured(SWEEP, 0, 2, "first/results.jsonl");
    Path second = measured(SWEEP, 1, 2, "second/results.jsonl");
    FrontFile.replace(FrontFile.beside(first), List.of(tuned("tiled"), tuned("longformer")));
    FrontFile.replace(FrontFile.beside(second), List.of(tuned("longformer"), tuned("moba")));
    Path merged = folder.resolve("whole/results.jsonl");
    assertEquals(0, merge(merged, first, second), said);
    List<FrontRecord> records = FrontFile.read(List.of(FrontFile.beside(merged))).records();
    assertEquals(
        List.of("tiled", "longformer", "moba"), records.stream().map(FrontRecord::spec).toList());
    assertEquals(Main.USAGE, merge(folder.resolve("x.jsonl"), FrontFile.beside(first)));
    assertTrue(said.contains("a result file must be named, but was one of tuned settings"), said);
    Files.copy(FrontFile.beside(second), folder.resolve(FrontFile.NAME));
    assertEquals(Main.USAGE, merge(folder.resolve("y.jsonl"), first));
    assertTrue(said.contains("not beside one of those merged"), said);
  }

  private static FrontRecord tuned(String spec) {
    Interval error = new Interval(0.1, 0.1, 0.1);
    return new FrontRecord(
        FrontRecord.KIND,
        1,
        "captured",
        null,
        16,
        2,
        64,
        "causal",
        1,
        42,
        spec,
        spec,
        List.of(0.1),
        1,
        error,
        null,
        List.of(0.1, 0.1),
        null,
        16,
        null,
        "cpu",
        "commit");
  }

  @Test
  void differentMachinesAreRefusedOrKeptApart() throws IOException {
    Path here = measured(SWEEP, 0, 1, "here.jsonl");
    Path there = folder.resolve("there.jsonl");
    String cpu = ResultFile.read(here).records().getFirst().environment().cpu();
    Files.writeString(
        there, Files.readString(here).replace("\"cpu\":\"" + cpu, "\"cpu\":\"Another than " + cpu));
    Path merged = folder.resolve("merged.jsonl");
    assertEquals(Main.USAGE, merge(merged, here, there));
    assertTrue(said.contains("one machine, JDK and commit"), said);
    assertFalse(Files.exists(merged));
    assertEquals(0, run("merge", "--different-machines", merged, here, there), said);
    assertEquals(24, ResultFile.read(merged).records().size(), "each machine keeps its points");
  }

  @Test
  void fileThatIsNotMergedIsNotOverwritten() throws IOException {
    Path here = measured(SWEEP, 0, 1, "here.jsonl");
    Path precious = folder.resolve("precious.jsonl");
    Files.writeString(precious, "mine");
    assertEquals(Main.USAGE, merge(precious, here));
    assertEquals("mine", Files.readString(precious));
    assertEquals(Main.USAGE, merge(folder.resolve("new.jsonl"), folder.resolve("absent.jsonl")));
    assertEquals(0, merge(here, here), said);
    assertEquals(12, keys(here).size());
  }

  /// A record of a later version is one this version cannot write again.
  @Test
  void fileThatIsNotUnderstoodWholeIsNotReplaced() throws IOException {
    Path here = measured(SWEEP, 0, 1, "here.jsonl");
    Path later = folder.resolve("later.jsonl");
    String line = Files.readString(here).lines().findFirst().orElseThrow();
    Files.writeString(later, line.replace("\"schema\":1", "\"schema\":99") + "\n");
    byte[] before = Files.readAllBytes(later);
    assertEquals(Main.USAGE, merge(later, later, here));
    assertTrue(said.contains("later.jsonl:1: line skipped: schema must be"), said);
    assertArrayEquals(before, Files.readAllBytes(later));
    assertEquals(0, merge(folder.resolve("both.jsonl"), later, here), said);
  }

  @Test
  void mergedRecordsTellTheCommandsThatMeasuredThem() throws IOException {
    Path here = measured(SWEEP, 0, 1, "here.jsonl");
    List<ResultRecord> records = ResultFile.read(here).records();
    assertEquals("crossover sweep mine.yaml", TypedCommand.of(records, "crossover report"));
    assertEquals("crossover report", TypedCommand.of(List.of(), "crossover report"));
  }

  private Path measured(String sweep, int shard, int shards, String name) throws IOException {
    SweepPlan all = SweepFile.read("sweep.yaml", sweep, 1);
    SweepPlan share = new SweepPlan(all.parts(), all.effort(), shard, shards);
    Path file = folder.resolve(name);
    new SweepRunner(
            share,
            new InstantForks(),
            new Progress(new StringBuilder(), false),
            "crossover sweep mine.yaml")
        .run(file);
    return file;
  }

  private int merge(Path out, Path... in) {
    Object[] arguments = new Object[in.length + 2];
    arguments[0] = "merge";
    arguments[1] = out;
    System.arraycopy(in, 0, arguments, 2, in.length);
    return run(arguments);
  }

  private int run(Object... arguments) {
    StringWriter text = new StringWriter();
    PrintWriter writer = new PrintWriter(text, true);
    String[] words =
        java.util.Arrays.stream(arguments).map(Object::toString).toArray(String[]::new);
    int code = Main.run(writer, writer, words);
    said = text.toString();
    return code;
  }

  private static Set<String> keys(Path file) throws IOException {
    return ResultFile.read(file).records().stream()
        .map(ResultRecord::key)
        .collect(Collectors.toSet());
  }

  private static final class InstantForks implements Forks {
    @Override
    public Outcome run(Problem problem, Settings settings, Wish wish) {
      return new Measured(List.of(0.5, 0.25), new Facts(10, 0, null, 0.0, null, "scalar"));
    }

    @Override
    public Peak peak(int threads) {
      return new Peak(100, 10);
    }
  }
}
