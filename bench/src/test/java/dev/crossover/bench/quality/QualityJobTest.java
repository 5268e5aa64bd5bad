// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.quality;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.quality.QualityRecord.Status;
import dev.crossover.models.training.TaskTraining;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class QualityJobTest {
  private static final Map<String, String> SMALL =
      Map.of("width", "16", "batch", "8", "steps", "12", "evaluate_every", "5");

  /// The second grid is refused: its mixer has no gradient.
  private static final List<QualityGrid> GRIDS =
      List.of(grid("induction:n=12,vocab=4", "tiled", 2), grid("parity:n=8", "sage", 1));

  @TempDir private Path folder;

  private static QualityGrid grid(String task, String mixer, int seeds) {
    return new QualityGrid(
        List.of(task), List.of(mixer), List.of("1e-3"), seeds, SMALL, List.of(), 42);
  }

  private static List<QualityRun> runs() {
    return GRIDS.stream().flatMap(grid -> grid.runs().stream()).toList();
  }

  private QualityFile file(String name) {
    return new QualityFile(folder.resolve(name).resolve(QualityFile.NAME));
  }

  private static final class Silent implements QualityRunner.Progress {
    @Override
    public void start(QualityRun run, int number, int of, long step) {}

    @Override
    public void look(QualityRun run, TaskTraining.Look look, double loss, double left) {}

    @Override
    public void end(QualityRun run, QualityRecord record) {}
  }

  @Test
  void recordsAreThoseOfARunnerWhoseClockStandsStill() throws IOException {
    new QualityRunner(
            file("runner"), 1, Double.POSITIVE_INFINITY, 1, new Silent(), () -> 0, "train x")
        .run(runs());
    List<String> told = new ArrayList<>();
    List<QualityRecord> records = complete(file("job"), told);
    assertEquals(List.of(), told.subList(3, told.size()));
    assertEquals(Status.FINISHED, records.getFirst().status());
    assertEquals(Status.REFUSED, records.getLast().status());
    assertEquals(0, records.getFirst().seconds());
    assertEquals(Files.readString(file("runner").path()), Files.readString(file("job").path()));
    told.clear();
    assertEquals(records, complete(file("job"), told));
    assertEquals(List.of(), told, "no run is done twice");
  }

  private static List<QualityRecord> complete(QualityFile file, List<String> told)
      throws IOException {
    return QualityJob.complete(
        file,
        GRIDS,
        runs(),
        Jobs.here(1),
        1,
        "train x",
        (_, _, record) -> told.add(record.key()),
        told::add);
  }

  @Test
  void runThatIsNotOfTheGridIsRefused() {
    QualityJob job = new QualityJob(List.of(), 1, "c", "");
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> job.compute("mqar | tiled"));
    assertTrue(refused.getMessage().contains("run must be of the grid"), refused.getMessage());
  }
}
