// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.jobs.Jobs;
import dev.crossover.bench.jobs.PointJob;
import dev.crossover.bench.quality.QualityFile;
import dev.crossover.bench.quality.QualityRecord;
import java.io.IOException;
import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/// The command line where a cluster computes the points.
class ClusterTest {
  private static final String TRAIN =
      "train induction:n=12,vocab=4 -m tiled --seeds 2 --threads 1"
          + " --model width=16,batch=8,steps=6,evaluate_every=3 -o ";

  @TempDir private Path folder;

  /// A cluster in this process that takes the points in another order.
  private record Shuffled() implements Jobs {
    @Override
    public int threads() {
      return 1;
    }

    @Override
    public void run(PointJob job, List<String> points, Sink sink) throws IOException {
      for (int i : IntStream.range(0, points.size()).map(i -> points.size() - 1 - i).toArray()) {
        sink.accept(i, job.compute(points.get(i)));
      }
    }
  }

  private static int run(StringWriter both, String command) {
    PrintWriter writer = new PrintWriter(both, true);
    return Main.run(new Shuffled(), writer, writer, command.split(" "));
  }

  @Test
  void trainingLearnsWhatItLearnsHere() throws IOException {
    StringWriter out = new StringWriter();
    assertEquals(0, run(out, TRAIN + folder.resolve("there")), out.toString());
    PrintWriter writer = new PrintWriter(out, true);
    assertEquals(0, Main.run(writer, writer, (TRAIN + folder.resolve("here")).split(" ")));
    List<QualityRecord> there = records("there");
    List<QualityRecord> here = records("here");
    assertEquals(2, there.size());
    for (int i = 0; i < 2; i++) {
      assertEquals(here.get(i).key(), there.get(i).key());
      assertEquals(here.get(i).looks(), there.get(i).looks());
      assertEquals(here.get(i).curve(), there.get(i).curve());
      assertEquals(0, there.get(i).tokensPerSecond());
    }
    assertTrue(Files.exists(folder.resolve("there/report/report.html")));
  }

  private List<QualityRecord> records(String name) throws IOException {
    return new QualityFile(folder.resolve(name).resolve(QualityFile.NAME)).read().records();
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "sweep --n 64;on a cluster, where nothing is timed, but was sweep",
        "tune;on a cluster, where nothing is timed, but was tune",
        "compare a b;on a cluster, where nothing is timed, but was compare",
        "swap --threads 2;threads must be those of a task on the cluster (1), but was 2",
        "swap --model bytes --dry-run;dry-run must be absent on a cluster",
        "train parity --budget 1m;budget must be absent on a cluster",
        "train parity --dry-run;dry-run must be absent on a cluster",
        "train parity --keep;keep must be absent on a cluster",
        "train parity --threads 3;threads must be those of a task on the cluster (1), but was 3",
        "errors --threads 2;threads must be those of a task on the cluster (1), but was 2"
      })
  void whatNeedsOneMachineIsRefusedByName(String command, String expected) {
    StringWriter out = new StringWriter();
    assertEquals(Main.USAGE, run(out, command));
    assertTrue(out.toString().contains(expected), out.toString());
    assertEquals(1, out.toString().lines().count(), out.toString());
  }
}
