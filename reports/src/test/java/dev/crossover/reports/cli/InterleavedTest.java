// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.cli;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.PrintWriter;
import java.io.StringWriter;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class InterleavedTest {
  private static final Path OLD = Path.of("old.jar");
  private static final Path NEW = Path.of("new.jar");
  private final List<String> runs = new ArrayList<>();

  @Test
  void buildsTakeTurnsMechanismByMechanism() throws Exception {
    assertTrue(
        measure(
            (_, _) -> 0, List.of("quick", "-m", "tiled,longformer:window=64", "--n", "256"), 2));
    assertEquals(
        List.of(
            "old 1 tiled",
            "new 1 tiled",
            "new 1 longformer:window=64",
            "old 1 longformer:window=64",
            "new 2 tiled",
            "old 2 tiled",
            "old 2 longformer:window=64",
            "new 2 longformer:window=64"),
        runs);
  }

  @Test
  void mechanismThatOneBuildRefusesIsLeftToTheOther() throws Exception {
    Interleaved.Sweeps sweeps =
        (jar, arguments) -> jar.equals(OLD) && arguments.contains("longformer") ? Main.USAGE : 0;
    assertTrue(measure(sweeps, List.of("-m", "tiled,longformer"), 2));
    assertEquals(1, runs.stream().filter("old 1 longformer"::equals).count());
    assertEquals(0, runs.stream().filter("old 2 longformer"::equals).count());
    assertEquals(1, runs.stream().filter("new 2 longformer"::equals).count());
  }

  @Test
  void stoppedSweepStopsTheComparison() throws Exception {
    assertFalse(measure((_, _) -> 130, List.of("-m", "tiled"), 4));
    assertEquals(List.of("old 1 tiled"), runs);
  }

  @Test
  void optionsThatTheComparisonSetsAreRefused() {
    for (String option : List.of("--forks", "-o", "--shard=1/2", "--dry-run")) {
      IllegalArgumentException fault =
          assertThrows(
              IllegalArgumentException.class, () -> measure((_, _) -> 0, List.of(option), 4));
      assertTrue(fault.getMessage().startsWith("sweep must leave " + option.split("=")[0]));
    }
  }

  @Test
  void bothBuildsWriteFilesOfTheirOwn() {
    Interleaved run = new Interleaved((_, _) -> 0, Path.of("folder"), silent());
    assertEquals(Path.of("folder/old/results.jsonl"), run.oldResults());
    assertEquals(Path.of("folder/new/results.jsonl"), run.newResults());
  }

  private boolean measure(Interleaved.Sweeps sweeps, List<String> arguments, int forks)
      throws Exception {
    Interleaved.Sweeps kept =
        (jar, all) -> {
          String folder = all.get(all.indexOf("-o") + 1);
          runs.add(
              Path.of(folder).getFileName()
                  + " "
                  + all.get(all.indexOf("--forks") + 1)
                  + " "
                  + all.get(all.indexOf("-m") + 1));
          assertEquals(jar.equals(OLD) ? "old" : "new", Path.of(folder).getFileName().toString());
          assertTrue(all.contains("--no-report"));
          return sweeps.run(jar, all);
        };
    return new Interleaved(kept, Path.of("folder"), silent()).measure(OLD, NEW, arguments, forks);
  }

  private static PrintWriter silent() {
    return new PrintWriter(new StringWriter());
  }
}
