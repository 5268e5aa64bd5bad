// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.models.task.Tasks;
import dev.crossover.models.training.TaskTraining;
import java.io.BufferedReader;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Map;
import java.util.Random;
import java.util.concurrent.TimeUnit;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// A training in a process of its own, killed again and again.
class KilledTrainingTest {
  private static final int KILLS = 10;
  private static final int PATIENCE_SECONDS = 120;
  private static final String STEP = "step ";

  @TempDir private Path folder;

  private static List<QualityRun> runs() {
    Map<String, String> small =
        Map.of(
            "width", "16",
            "batch", "8",
            "steps", "800",
            "evaluate_every", "1",
            "stop_at", "1",
            "test_samples", "8");
    return QualityRun.grid(
        List.of(Tasks.parse("parity:n=12,every=true")),
        List.of("tiled"),
        List.of("1e-3"),
        1,
        small,
        List.of(),
        42);
  }

  /// Trains, saving after every step and telling each.
  ///
  /// @param arguments the file of records
  public static void main(String[] arguments) throws IOException {
    train(Path.of(arguments[0]), true);
  }

  private static List<QualityRecord> train(Path file, boolean tell) throws IOException {
    QualityRunner.Progress progress =
        new QualityRunner.Progress() {
          @Override
          public void start(QualityRun run, int number, int of, long step) {
            // what happens is told step by step
          }

          @Override
          public void look(QualityRun run, TaskTraining.Look look, double loss, double left) {
            if (tell) {
              System.out.println(STEP + look.step());
            }
          }

          @Override
          public void end(QualityRun run, QualityRecord record) {
            // the record tells
          }
        };
    return new QualityRunner(
            new QualityFile(file), 1, Double.POSITIVE_INFINITY, 0, progress, System::nanoTime, "")
        .run(runs());
  }

  /// Kills fall a few steps after the first that was told, and a drawn moment later, so that they
  /// hit steps, looks and saving.
  @Test
  void tenKillsEndWithTheBitsOfAnUnbrokenTraining() throws Exception {
    Path file = folder.resolve("killed/quality.jsonl");
    Random moments = new Random(20_261_127);
    long furthest = 0;
    for (int kill = 0; kill < KILLS; kill++) {
      Process training = start(file);
      long step = 0;
      try (BufferedReader said = training.inputReader(StandardCharsets.UTF_8)) {
        String line = said.readLine();
        while (line != null && step < furthest + 4) {
          if (line.startsWith(STEP)) {
            step = Long.parseLong(line.substring(STEP.length()));
          }
          line = said.readLine();
        }
        assertTrue(training.isAlive(), "the training ended before it could be killed");
        Thread.sleep(moments.nextInt(20));
        training.destroyForcibly();
        assertTrue(training.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS));
      }
      assertTrue(step > furthest, "every start gets ahead");
      furthest = step;
    }
    assertTrue(new QualityFile(file).read().records().isEmpty(), "the training was not finished");
    QualityRecord killed = train(file, false).getFirst();
    QualityRecord whole = train(folder.resolve("whole/quality.jsonl"), false).getFirst();
    assertEquals(Status.FINISHED, killed.status());
    assertEquals(whole.steps(), killed.steps());
    for (int i = 0; i < whole.looks().size(); i++) {
      assertEquals(whole.looks().get(i), killed.looks().get(i), "kills reached step " + furthest);
    }
    assertEquals(whole.curve(), killed.curve());
    assertEquals(whole.looks(), killed.looks());
  }

  private Process start(Path file) throws IOException {
    Files.createDirectories(file.getParent());
    return new ProcessBuilder(
            Path.of(System.getProperty("java.home"), "bin", "java").toString(),
            "--add-modules=jdk.incubator.vector",
            "-Xmx256m",
            "-XX:+UseSerialGC",
            "-cp",
            System.getProperty("java.class.path"),
            KilledTrainingTest.class.getName(),
            file.toString())
        .redirectError(folder.resolve("output").toFile())
        .start();
  }
}
