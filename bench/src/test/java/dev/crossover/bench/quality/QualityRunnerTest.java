// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFileWriter;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.bench.result.JsonLines;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.OtherSetting;
import dev.crossover.models.training.TaskTraining;
import dev.crossover.models.training.TrainedModel;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.atomic.AtomicLong;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QualityRunnerTest {
  private static final Map<String, String> SMALL =
      Map.of(
          "width", "16",
          "batch", "8",
          "steps", "20",
          "evaluate_every", "5",
          "test_samples", "16");

  /// A clock of which every question takes a tenth of a second.
  private final AtomicLong clock = new AtomicLong();

  @TempDir private Path folder;

  private static List<QualityRun> runs(String task, String mixers, List<String> rates, int seeds) {
    return QualityRun.grid(
        List.of(Tasks.parse(task)), List.of(mixers.split(",")), rates, seeds, SMALL, List.of(), 42);
  }

  private QualityFile file() {
    return new QualityFile(folder.resolve("quality.jsonl"));
  }

  private QualityRunner runner(double budget, QualityRunner.Progress progress) {
    return new QualityRunner(
        file(), 1, budget, 0.5, progress, () -> clock.addAndGet(100_000_000), "train");
  }

  /// Counts, and dies at a look.
  private static final class Watch implements QualityRunner.Progress {
    private final int dieAtLook;
    private int starts;
    private int looks;
    private long resumedFrom;

    Watch(int dieAtLook) {
      this.dieAtLook = dieAtLook;
    }

    @Override
    public void start(QualityRun run, int number, int of, long step) {
      starts++;
      resumedFrom = step;
    }

    @Override
    public void look(QualityRun run, TaskTraining.Look look, double loss, double left) {
      if (++looks == dieAtLook) {
        throw new IllegalStateException("killed");
      }
    }

    @Override
    public void end(QualityRun run, QualityRecord record) {}
  }

  @Test
  void everyRunEndsAsARecordAndFinishedOnesAreLeftOut() throws IOException {
    List<QualityRun> runs =
        runs("induction:n=12,vocab=4", "tiled,lstm", List.of("1e-3", "3e-3"), 2);
    assertEquals(8, runs.size());
    Watch first = new Watch(-1);
    List<QualityRecord> records = runner(Double.POSITIVE_INFINITY, first).run(runs);
    assertEquals(8, records.size());
    assertEquals(8, first.starts);
    QualityRecord record = records.getFirst();
    assertEquals("induction:n=12,vocab=4", record.task());
    assertEquals(1e-3, record.learningRate());
    assertEquals(1 / 3.0, record.chance());
    assertEquals(20, record.steps());
    assertTrue(record.last(12).isPresent() && record.parameters() > 0 && record.stateBytes() > 0);
    assertEquals(20, record.curve().getLast().step());
    Watch second = new Watch(-1);
    assertEquals(records, runner(Double.POSITIVE_INFINITY, second).run(runs));
    assertEquals(0, second.starts);
  }

  /// A kept model says what it is and can be read without the run.
  @Test
  void modelsAreKeptWhereTheyAreAskedFor() throws IOException {
    List<QualityRun> runs = runs("induction:n=12,vocab=4", "tiled", List.of(), 1);
    QualityRecord record =
        runner(Double.POSITIVE_INFINITY, new Watch(-1)).run(runs, true).getFirst();
    try (Stream<Path> files = Files.list(folder.resolve("models"))) {
      List<Path> kept = files.toList();
      assertEquals(1, kept.size());
      TrainedModel model = TrainedModel.read(kept.getFirst());
      assertEquals(record.task(), model.task());
      assertEquals("tiled", model.layers().mixer(0));
      assertEquals(16, model.sizes().size("width"));
      assertEquals(record.parameters(), model.parameters().size());
    }
    Path other = folder.resolve("other.safetensors");
    new TensorFileWriter().add("x", Tensor.zeros(1)).writeSafeTensors(other);
    String message =
        String.valueOf(
            assertThrows(TensorFileException.class, () -> TrainedModel.read(other)).getMessage());
    assertTrue(message.contains("must be a checkpoint of crossover train"), message);
  }

  /// A record without a setting gets it from the kept model; without one it is trained anew.
  @Test
  void trainedModelsAreLookedAtWithOtherSettings() throws IOException {
    List<QualityRun> runs =
        runs("repeat:length=8,vocab=4", "reformer:chunk_length=4", List.of(), 1);
    List<QualityRun> two =
        QualityRun.evaluatedAt(
            runs,
            List.of(
                new OtherSetting("reformer:num_hashes=2"),
                new OtherSetting("reformer:num_hashes=4")));
    QualityRecord plain =
        runner(Double.POSITIVE_INFINITY, new Watch(-1)).run(runs, true).getFirst();
    assertEquals(List.of(), plain.evaluated());
    Watch watch = new Watch(-1);
    QualityRecord later = runner(Double.POSITIVE_INFINITY, watch).run(two).getFirst();
    assertEquals(plain.evaluated(later.evaluated()), later, "nothing else changes");
    assertEquals(0, watch.looks, "nothing is trained");
    assertEquals(
        List.of("reformer:chunk_length=4,num_hashes=2", "reformer:chunk_length=4,num_hashes=4"),
        later.evaluated().stream().map(QualityRecord.Evaluation::mixer).toList());
    assertEquals(16, later.evaluated().getFirst().look().length());
    assertEquals(List.of(later), file().read().records());
    Files.delete(file().path());
    QualityRecord anew = runner(Double.POSITIVE_INFINITY, new Watch(-1)).run(two).getFirst();
    assertEquals(later.evaluated(), anew.evaluated());
    Watch third = new Watch(-1);
    runner(Double.POSITIVE_INFINITY, third).run(two);
    assertEquals(0, third.starts, "what is there is left out");
  }

  @Test
  void aSettingOfWhatIsNotTrainedIsRefused() {
    List<QualityRun> runs = runs("repeat:length=8,vocab=4", "tiled", List.of(), 1);
    List<OtherSetting> settings = List.of(new OtherSetting("reformer:num_hashes=2"));
    assertThrows(IllegalArgumentException.class, () -> QualityRun.evaluatedAt(runs, settings));
  }

  @Test
  void aKilledRunGoesOnWhereItWasSavedWithTheSameNumbers() throws IOException {
    List<QualityRun> runs = runs("induction:n=12,vocab=4", "tiled", List.of(), 1);
    assertThrows(
        IllegalStateException.class,
        () -> runner(Double.POSITIVE_INFINITY, new Watch(3)).run(runs));
    Watch second = new Watch(-1);
    QualityRecord resumed = runner(Double.POSITIVE_INFINITY, second).run(runs).getFirst();
    assertTrue(second.resumedFrom > 0, "resumed from " + second.resumedFrom);
    try (Stream<Path> left = Files.list(folder.resolve("checkpoints"))) {
      assertEquals(0, left.count(), "a finished run leaves no checkpoint");
    }
    Files.delete(file().path());
    QualityRecord whole = runner(Double.POSITIVE_INFINITY, new Watch(-1)).run(runs).getFirst();
    assertEquals(whole.curve(), resumed.curve());
    assertEquals(whole.looks(), resumed.looks());
  }

  @Test
  void runsThatDivergeOrAreRefusedAreRecordsWithTheirReason() throws IOException {
    QualityRecord diverged =
        runner(Double.POSITIVE_INFINITY, new Watch(-1))
            .run(
                runs(
                    "induction:n=12,vocab=4", "tiled+clip=1e30+positions=none", List.of("1e30"), 1))
            .getFirst();
    assertEquals(Status.DIVERGED, diverged.status());
    assertTrue(diverged.reason().startsWith("the loss of step"), diverged.reason());
    QualityRecord refused =
        runner(Double.POSITIVE_INFINITY, new Watch(-1))
            .run(runs("induction:n=12,vocab=4", "linformer", List.of(), 1))
            .getFirst();
    assertEquals(Status.REFUSED, refused.status());
    assertTrue(refused.reason().contains("linformer"), refused.reason());
  }

  @Test
  void aBudgetIsSharedByTheRuns() throws IOException {
    List<QualityRecord> records =
        runner(4, new Watch(-1)).run(runs("induction:n=12,vocab=4", "tiled,lstm", List.of(), 1));
    for (QualityRecord record : records) {
      assertEquals(Status.BUDGET, record.status());
      assertTrue(record.steps() > 0 && record.steps() < 20, "steps " + record.steps());
      assertFalse(record.looks().isEmpty());
    }
  }

  @Test
  void whatShortRunsLeaveGoesToLongOnes() {
    assertEquals(10, QualityForecast.share(new double[] {100, 100, 100}, 30), 1e-12);
    assertEquals(13, QualityForecast.share(new double[] {100, 4, 100}, 30), 1e-12);
    assertEquals(25, QualityForecast.share(new double[] {1, 100, 4}, 30), 1e-12);
    assertEquals(25, QualityForecast.share(new double[] {1, 10, 4}, 30), 1e-12);
    assertEquals(0, QualityForecast.share(new double[] {1, 10, 4}, -2), 1e-12);
    assertEquals(Double.POSITIVE_INFINITY, QualityForecast.share(new double[3], 1 / 0.0));
  }

  @Test
  void aForecastCountsAllStepsAndLooksOrSaysWhyARunIsRefused() {
    List<QualityRun> runs = runs("induction:n=12,vocab=4", "tiled,linformer", List.of(), 2);
    List<QualityForecast> forecasts =
        QualityForecast.of(runs, 1, () -> clock.addAndGet(100_000_000));
    // twenty steps and five looks, each a tenth of a second by the test's clock
    assertEquals(2.5, forecasts.getFirst().seconds(), 1e-9);
    assertEquals(forecasts.getFirst(), forecasts.get(1));
    assertTrue(forecasts.getFirst().parameters() > 0);
    assertEquals(0, forecasts.getLast().seconds());
    assertFalse(forecasts.getLast().refusal().isEmpty());
  }

  /// What a session keeps of 12 tokens, by hand: two blocks of width 16, four-byte numbers; a
  /// convolution keeps as many rows as it has taps.
  @Test
  void stateBytesAreThoseOfTheModelsOwnSession() throws IOException {
    Map<String, Long> expected = new LinkedHashMap<>();
    expected.put("lstm", 2L * 2 * 16 * 4);
    expected.put("gru", 2L * 16 * 4);
    expected.put("tiled", 2L * 2 * 12 * 16 * 4);
    expected.put("tiled+heads=4+kv_heads=2", 2L * 2 * 12 * 8 * 4);
    expected.put("tiled+head_dim=8+heads=1", 2L * 2 * 12 * 8 * 4);
    expected.put("gated_convolution:width=3", 2L * 3 * 16 * 4);
    List<QualityRun> runs =
        runs("induction:n=12,vocab=4", String.join(",", expected.keySet()), List.of(), 1);
    for (QualityRecord record : runner(Double.POSITIVE_INFINITY, new Watch(-1)).run(runs)) {
      assertEquals(expected.get(record.mixer()), record.stateBytes(), record.mixer());
    }
  }

  @Test
  void tornAndForeignLinesAreSkippedByNumber() throws IOException {
    runner(Double.POSITIVE_INFINITY, new Watch(-1))
        .run(runs("induction:n=12,vocab=4", "tiled", List.of(), 1));
    Path path = file().path();
    Files.writeString(path, "{\"kind\":\"time\"}\n{\"torn", StandardOpenOption.APPEND);
    QualityFile.Contents contents = file().read();
    assertEquals(1, contents.records().size());
    assertEquals(2, contents.warnings().size());
    assertTrue(
        contents.warnings().getFirst().startsWith(path + ":2: line skipped: kind must be quality"),
        contents.warnings().toString());
    try (JsonLines lines = file().open()) {
      lines.append(contents.records().getFirst());
      assertThrows(IOException.class, () -> file().open(), "a second writer");
    }
    assertEquals(1, file().read().records().size());
    assertEquals(2, file().read().warnings().size());
  }
}
