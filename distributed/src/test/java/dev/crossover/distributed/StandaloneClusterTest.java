// SPDX-License-Identifier: Apache-2.0
package dev.crossover.distributed;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.error.ErrorFile;
import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.swap.LanguageSwapRunner;
import dev.crossover.reports.cli.Main;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Studies by `spark-submit` of the one jar on a master and two workers, all on this machine, some
/// of which are killed.
class StandaloneClusterTest {
  private static final String ERRORS =
      "errors --input gaussian:scale=0.5 --n 256 --seeds 4 --mask none -m longformer:window=4 -o ";
  private static final String TRAIN =
      "train induction:n=32,vocab=8 -m tiled,lstm,deltanet --seeds 8"
          + " --model width=32,batch=16,steps=150,evaluate_every=50 -o ";
  private static final int RUNS = 24;

  @TempDir private Path folder;
  private LoopbackCluster cluster;

  @BeforeEach
  void start() throws IOException, InterruptedException {
    cluster = new LoopbackCluster(folder.resolve("cluster"), 2);
  }

  @AfterEach
  void stop() {
    cluster.close();
  }

  @Test
  void killedWorkerCostsItsUnfinishedPointsOnly() throws Exception {
    Path records = folder.resolve("run").resolve(QualityFile.NAME);
    LoopbackCluster.Driver driver = cluster.submit(TRAIN + folder.resolve("run"));
    driver.awaitLines(records, 3);
    cluster.killWorker(0);
    int known = Files.readAllLines(records).size();
    assertTrue(known < RUNS, "killed in the middle, after " + known);
    assertEquals(0, driver.exitCode(), driver.told());
    LoopbackCluster.Tasks tasks = driver.tasks();
    assertEquals(RUNS, tasks.succeeded(), "no finished point was computed again");
    assertTrue(tasks.lost() <= 1, "a worker of one core computes one point: " + tasks);
    List<String> written = lines(records);
    Files.delete(records);
    assertEquals(0, here(TRAIN + folder.resolve("run")));
    assertEquals(lines(records), written);
  }

  @Test
  void driverThatDiesResumesFromItsRecords() throws Exception {
    Path study = folder.resolve("run");
    Path records = study.resolve(ErrorFile.NAME);
    LoopbackCluster.Driver first = cluster.submit(ERRORS + study);
    first.awaitLines(records, 20);
    first.kill();
    int known = (int) Files.readString(records).chars().filter(c -> c == '\n').count();
    assertFalse(Files.exists(study.resolve("errors.md")), "killed in the middle");
    LoopbackCluster.Driver second = cluster.submit(ERRORS + study);
    assertEquals(0, second.exitCode(), second.told());
    List<String> written = lines(records);
    assertEquals(written.size() - known, second.tasks().succeeded());
    assertEquals(0, here(ERRORS + folder.resolve("here")));
    assertEquals(lines(folder.resolve("here").resolve(ErrorFile.NAME)), written);
  }

  @Test
  void swapsAreThoseOfOneProcess() throws Exception {
    String command = SmallModel.in(folder).swap();
    Path records = folder.resolve("run").resolve(LanguageSwapRunner.FILE);
    LoopbackCluster.Driver driver = cluster.submit(command + folder.resolve("run"));
    assertEquals(0, driver.exitCode(), driver.told());
    assertEquals(SmallModel.POINTS, driver.tasks().succeeded());
    assertEquals(0, here(command + folder.resolve("here")));
    assertEquals(lines(folder.resolve("here").resolve(LanguageSwapRunner.FILE)), lines(records));
  }

  /// Records without the commit, which jars outside their build folder do not know.
  private static List<String> lines(Path records) throws IOException {
    return Files.readAllLines(records).stream()
        .map(line -> line.replaceFirst("\"commit\":\"[^\"]*\"", ""))
        .toList();
  }

  /// The same without Spark, one point after the other in this process.
  private static int here(String command) {
    PrintWriter writer = new PrintWriter(new StringWriter(), true);
    return Main.run(Jobs.here(1), writer, writer, command.split(" "));
  }
}
