// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.tune.FrontFile;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.answer.FrontRecords;
import dev.crossover.reports.answer.Records;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import tools.jackson.databind.JsonNode;
import tools.jackson.databind.json.JsonMapper;

class CompareTunedTest {
  private static final int N = 1024;
  private static final String WINDOW = "longformer:window=64";
  private static final String MOBA = "moba:block_size=64,top_k=9";

  @TempDir Path folder;

  private final RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
  private final StringWriter out = new StringWriter();

  /// A run of tune with exact attention and settings of three numbers: seconds and errors.
  private Path tuned(String name, Object... settings) throws IOException {
    List<ResultRecord> times = new ArrayList<>();
    List<FrontRecord> front = new ArrayList<>();
    add("tiled", Approximates.EXACT, 1, 0, times, front);
    for (int s = 0; s < settings.length; s += 3) {
      add(
          settings[s].toString(),
          Approximates.SOFTMAX,
          ((Number) settings[s + 1]).doubleValue(),
          ((Number) settings[s + 2]).doubleValue(),
          times,
          front);
    }
    Path run = Files.createDirectories(folder.resolve(name));
    JsonLines.replace(run.resolve("results.jsonl"), times);
    FrontFile.replace(run.resolve(FrontFile.NAME), front);
    return run;
  }

  private void add(
      String spec,
      Approximates kind,
      double seconds,
      double error,
      List<ResultRecord> times,
      List<FrontRecord> front) {
    times.add(
        Records.point(Study.FORWARD, spec, kind, "causal", N, seconds, 1e6, 0.1, 3, 0.001, random));
    front.add(FrontRecords.of(spec, N, error, error));
  }

  private int compare(Path first, Path second, String... more) {
    List<String> words =
        new ArrayList<>(List.of("compare", "--tuned", first.toString(), second.toString()));
    words.addAll(List.of(more));
    PrintWriter writer = new PrintWriter(out, true);
    return Main.run(writer, writer, words.toArray(String[]::new));
  }

  @Test
  void picksOfAboutTheSameTimeExitWithZero() throws IOException {
    Path first = tuned("a", "performer:features=64,seed=1", 0.5, 0.04);
    Path second = tuned("b", "performer:features=64,seed=2", 0.52, 0.04);
    assertEquals(0, compare(first, second), out.toString());
    String said = out.toString();
    assertTrue(
        said.contains(
            "2 of 2 cells (100 %) differ by less than 10 % in time, 2 with the whole interval; the"
                + " same setting in 2; 0 cells only in one file"),
        said);
    assertTrue(said.contains("the same setting\n"), said);
  }

  @Test
  void aPickThatTakesLongerIsNamedAndExitsWithOne() throws IOException {
    Path first = tuned("a", WINDOW, 0.25, 0.08, MOBA, 0.5, 0.04);
    Path second = tuned("b", WINDOW, 0.25, 0.12, MOBA, 0.5, 0.04);
    assertEquals(Main.FAILED, compare(first, second), out.toString());
    String said = out.toString();
    assertTrue(said.contains("error at most 10 %: DIFFERS, time × 2.0"), said);
    assertTrue(said.contains("1 of 2 cells (50 %) differ by less than 10 % in time"), said);
    assertEquals(0, compare(first, second, "--min-effect", "1.5"), out.toString());
  }

  @Test
  void exactAttentionIsThePickWhereNothingIsFaster() throws IOException {
    Path first = tuned("a", WINDOW, 1.5, 0.04);
    Path second = tuned("b", WINDOW, 0.5, 0.04);
    assertEquals(Main.FAILED, compare(first, second, "--json"));
    JsonNode cell = new JsonMapper().readTree(out.toString()).get("cells").get(0);
    assertEquals("tiled", cell.get("before").get("spec").asString());
    assertEquals(WINDOW, cell.get("after").get("spec").asString());
    assertEquals(0.5, cell.get("time").get("value").asDouble(), 0.01);
    assertEquals(1, cell.get("exact").get("value").asDouble(), 0.01);
    assertEquals(1, out.toString().lines().count());
  }

  @Test
  void filesWithoutACellInCommonDecideNothing() throws IOException {
    Path first = tuned("a", WINDOW, 0.5, 0.04);
    Path second = tuned("b", WINDOW, 0.5, 0.04);
    Files.delete(second.resolve(FrontFile.NAME));
    assertEquals(Main.UNANSWERED, compare(first, second), out.toString());
    assertTrue(out.toString().contains("no cell is answered by both files"), out.toString());
    assertEquals(Main.USAGE, compare(first, second, "--interleave"), out.toString());
  }
}
