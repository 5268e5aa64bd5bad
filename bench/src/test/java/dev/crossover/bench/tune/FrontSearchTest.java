// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.error.ErrorProblem;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.concurrent.atomic.AtomicLong;
import java.util.function.BooleanSupplier;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class FrontSearchTest {
  private static final List<Double> PERMITTED = List.of(0.1, 0.9);
  private static final List<String> MECHANISMS = List.of("longformer", "sparse_transformer");

  @TempDir private Path folder;

  private static Tuner tuner() throws IOException {
    AtomicLong now = new AtomicLong();
    return new Tuner(
        ErrorProblem.of("gaussian:scale=1", 200, true, 42, 1),
        null,
        PERMITTED,
        "cpu",
        "commit",
        new Stopwatch(() -> now.addAndGet(100_000_000)));
  }

  private static FrontSearch.Found search(
      Path path, BooleanSupplier late, List<String> mechanisms, List<Double> permitted)
      throws IOException {
    try (FrontSearch search = new FrontSearch(path, late, _ -> {})) {
      return search.on(tuner(), mechanisms, permitted);
    }
  }

  @Test
  void aSearchThatWasStoppedGoesOnWhereItStopped() throws IOException {
    Path path = folder.resolve("deep/front.jsonl");
    AtomicInteger left = new AtomicInteger(3);
    FrontSearch.Found stopped =
        search(path, () -> left.getAndDecrement() <= 0, MECHANISMS, PERMITTED);
    assertFalse(stopped.complete());
    assertEquals(4, stopped.records().size(), "the exact baseline and three settings");
    assertEquals(
        MECHANISMS,
        stopped.records().subList(1, 1 + MECHANISMS.size()).stream()
            .map(FrontRecord::mechanism)
            .toList(),
        "one of each mechanism in turn");
    Files.writeString(path, "{\"kind\":\"front\",\"n\":2", StandardOpenOption.APPEND);

    FrontSearch.Found found = search(path, () -> false, MECHANISMS, PERMITTED);
    assertTrue(found.complete());
    List<String> lines = Files.readAllLines(path);
    assertEquals(found.records().size() + 1, lines.size(), "each once, and the torn line");
    FrontFile.Contents contents = FrontFile.read(List.of(path));
    assertEquals(found.records(), contents.records());
    assertEquals(1, contents.warnings().size());

    FrontSearch.Found again = search(path, () -> true, MECHANISMS, PERMITTED);
    assertTrue(again.complete(), "nothing is left to try");
    assertEquals(found.records(), again.records());
    assertEquals(lines, Files.readAllLines(path));
  }

  @Test
  void otherPermittedErrorsAreTriedAnew() throws IOException {
    Path path = folder.resolve("front.jsonl");
    search(path, () -> false, List.of("longformer"), PERMITTED);
    int lines = Files.readAllLines(path).size();
    search(path, () -> false, List.of("longformer"), List.of(0.1, 0.3));
    assertTrue(Files.readAllLines(path).size() > lines);
    assertEquals(
        lines, FrontFile.read(List.of(path)).records().size(), "the latest of each counts");
  }

  @Test
  void aFileWithoutRecordsOfTheFrontIsToldLineByLine() throws IOException {
    Path path = folder.resolve("front.jsonl");
    Files.writeString(path, "{\"schema\":1}\nnonsense\n");
    FrontFile.Contents contents = FrontFile.read(List.of(path));
    assertEquals(List.of(), contents.records());
    assertEquals(2, contents.warnings().size());
    assertTrue(contents.warnings().getFirst().contains("kind must be front, but was null"));
  }
}
