// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.OtherProcesses;
import dev.crossover.bench.swap.SwapRecord.Status;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.BeforeAll;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// The study on a model of one layer with drawn weights.
class SwapStudyTest {
  @TempDir private static Path folder;
  private static final MiniLmFiles.Loaded LOADED = DrawnModel.LOADED;

  private static SwapTexts texts() throws IOException {
    Path file = folder.resolve("texts.txt");
    String longest = "the cat sat on a mat ".repeat(8);
    Files.writeString(file, "the cat sat\n\na mat on the cat the mat sat\n" + longest + "\n");
    return SwapTexts.read(file);
  }

  private static SwapStudy study(int threads) throws IOException {
    return new SwapStudy(LOADED.model(), texts().encode(LOADED.requireTokenizer(), 64), threads);
  }

  @BeforeAll
  static void readsThreeTexts() throws IOException {
    assertArrayEquals(new int[] {5, 10, 50}, study(1).lengths());
  }

  @Test
  void anExactMechanismReproducesTheOriginal() throws IOException {
    SwapStudy.Outcome outcome = study(1).check();
    assertEquals(3, outcome.cosines().length);
    assertEquals(1, outcome.rank(), 1e-9);
  }

  @Test
  void aMechanismThatIsNotExactFailsTheCheck() throws IOException {
    SwapStudy.Outcome outcome = study(1).run(SwapSetting.parse("longformer:window=1"));
    String message =
        assertThrows(IllegalStateException.class, () -> SwapStudy.requireExact(outcome))
            .getMessage();
    assertTrue(message.contains("must reproduce the original"), message);
  }

  /// Rows at zero are an error of exactly one; a window that holds everything none.
  @Test
  void errorsAreThoseOfTheOriginalsActivations() throws IOException {
    SwapStudy study = study(1);
    SwapStudy.Outcome zero = study.run(SwapSetting.parse("control:zero"));
    for (double[] layers : zero.errors()) {
      assertArrayEquals(new double[] {1}, layers, 1e-12);
    }
    SwapStudy.Outcome wide = study.run(SwapSetting.parse("longformer:window=49"));
    assertTrue(Arrays.stream(wide.errors()).allMatch(layers -> layers[0] < 1e-5));
    assertTrue(Arrays.stream(wide.cosines()).allMatch(cosine -> cosine > 1 - 1e-6));
  }

  @Test
  void exactAttentionStandsInForShortTexts() throws IOException {
    SwapStudy.Outcome outcome =
        study(1).run(SwapSetting.parse("linformer:projection=mean_pool,projected_length=10"));
    assertEquals(0, outcome.errors()[0][0]);
    assertEquals(0, outcome.errors()[1][0]);
    assertTrue(outcome.errors()[2][0] > 1e-3);
    assertEquals(1, outcome.cosines()[1], 1e-12);
  }

  /// Equal weights over equal segments of one row each are equal weights over all rows: only the
  /// pools' number decides.
  @Test
  void onePoolIsTheControlOfEqualWeights() throws IOException {
    SwapStudy study = study(1);
    double[] pool = study.run(SwapSetting.parse("balanced_pools:projected_length=1")).cosines();
    double[] uniform = study.run(SwapSetting.parse("control:uniform")).cosines();
    assertArrayEquals(uniform, pool, 1e-6);
  }

  @Test
  void threadsChangeNoBit() throws IOException {
    SwapSetting setting = SwapSetting.parse("topk:top_k=4");
    SwapStudy.Outcome one = study(1).run(setting);
    SwapStudy.Outcome two = study(2).run(setting);
    assertArrayEquals(one.cosines(), two.cosines());
    assertArrayEquals(one.errors()[2], two.errors()[2]);
  }

  @Test
  void recordsAreKeptAndNotMadeTwice() throws IOException {
    Path file = folder.resolve("swap.jsonl");
    List<String> told = new ArrayList<>();
    SwapRunner runner = new SwapRunner(file, LOADED, texts(), Jobs.here(1), told::add);
    List<SwapSetting> first = List.of(SwapSetting.parse("topk:top_k=2"), SwapSetting.parse("gla"));
    List<SwapRecord> records = runner.run(first);
    assertEquals(Status.DONE, records.getFirst().status());
    assertEquals(Status.REFUSED, records.getLast().status());
    assertTrue(records.getLast().reason().contains("gla"), records.getLast().reason());
    assertNull(records.getLast().rank());
    Files.writeString(file, "{\"kind\":\"swa", StandardOpenOption.APPEND);
    told.clear();
    List<SwapSetting> more = new ArrayList<>(first);
    more.add(SwapSetting.parse("control:uniform"));
    assertEquals(3, runner.run(more).size());
    assertEquals(1, told.stream().filter(line -> line.startsWith("1/1 ")).count(), told.toString());
    told.clear();
    List<SwapRecord> again = runner.run(more);
    assertEquals(records.getFirst(), again.getFirst());
    assertTrue(told.stream().noneMatch(line -> line.contains("reading")), told.toString());
    assertEquals(3, SwapRunner.read(file, new ArrayList<>()).size());
  }

  @Test
  void recordsDoNotTellWhereOrInWhichOrderTheyWereComputed() throws IOException {
    List<SwapSetting> settings =
        List.of(
            SwapSetting.parse("topk:top_k=2"),
            SwapSetting.parse("performer"),
            SwapSetting.parse("gla"),
            SwapSetting.parse("control:zero"));
    Path here = folder.resolve("here.jsonl");
    Path there = folder.resolve("there.jsonl");
    new SwapRunner(here, LOADED, texts(), Jobs.here(1), _ -> {}).run(settings);
    new SwapRunner(there, LOADED, texts(), new OtherProcesses(1), _ -> {}).run(settings);
    assertEquals(4, Files.readAllLines(here).size());
    assertEquals(Files.readString(here), Files.readString(there));
  }

  @Test
  void weightsThatAreNotThereAreNamed() throws IOException {
    SwapJob job = new SwapJob("drawn.onnx", "89ab", "texts", "", List.of(), 1, "commit");
    String told =
        String.valueOf(
            assertThrows(IOException.class, () -> job.compute("topk:top_k=2")).getMessage());
    assertTrue(told.contains("drawn.onnx"), told);
  }

  @Test
  void meansAreOverTextsThenLayers() {
    SwapRecord record =
        SwapRecords.of("topk", List.of(10, 250), List.of(0.5, 0.7), List.of(0.1, 0.3), 0.4);
    assertEquals(0.6, record.meanCosine(), 1e-12);
    assertEquals(0.5, record.leastCosine());
    assertEquals(0.7, record.meanCosineFrom(200));
    assertEquals(0.2, record.meanError(), 1e-12);
    assertTrue(Double.isNaN(record.meanCosineFrom(251)));
  }
}
