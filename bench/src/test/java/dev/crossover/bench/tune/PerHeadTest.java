// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.bench.input.AttentionRows;
import dev.crossover.bench.tune.PerHead.Assignment;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.concurrent.atomic.AtomicLong;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class PerHeadTest {
  @TempDir private Path folder;

  private static FrontRecord record(String spec, double seconds, Double... perHead) {
    Interval any = new Interval(0.1, 0.1, 0.1);
    return new FrontRecord(
        FrontRecord.KIND,
        1,
        "captured",
        "other",
        1024,
        perHead.length,
        64,
        "causal",
        2,
        42,
        spec.split(":")[0],
        spec,
        List.of(0.1),
        1e9,
        any,
        any,
        List.of(perHead),
        null,
        1024,
        seconds,
        "cpu",
        "commit");
  }

  @Test
  void eachHeadGetsTheCheapestThatTheBudgetAllows() {
    List<FrontRecord> records =
        List.of(
            record("tiled", 10, 1e-7, 1e-7, 1e-7),
            record("longformer:window=64", 2, 0.01, 0.5, 0.02),
            record("longformer:window=16", 1, 0.3, 0.9, 0.05),
            record("moba:block_size=64,top_k=5", 4, 0.02, 0.04, 0.02));
    Assignment best = PerHead.best(records, 0.05).orElseThrow();
    assertEquals(
        List.of("longformer:window=64", "moba:block_size=64,top_k=5", "longformer:window=16"),
        best.specs());
    assertEquals((2 + 4 + 1) / 3.0, best.seconds(), 1e-12);
    assertTrue(best.mixes());
    assertEquals(
        "mixed:0=longformer:window=64,1=moba:block_size=64,top_k=5,2=longformer:window=16",
        best.spec());
    assertEquals(
        List.of("tiled", "tiled", "tiled"), PerHead.best(records, 1e-6).orElseThrow().specs());
    assertTrue(PerHead.best(records, 1e-8).isEmpty(), "nothing is that accurate");
  }

  @Test
  void noAssignmentIsCheaperThanTheLowerBoundAndNoneOfAllIsBetter() {
    List<FrontRecord> records = new ArrayList<>();
    double[] seconds = {10, 7, 5, 3, 1};
    for (int s = 0; s < seconds.length; s++) {
      double e = s * 0.03;
      records.add(
          record(
              s == 0 ? "tiled" : "longformer:window=" + (100 - 10 * s),
              seconds[s],
              e,
              e * 1.7,
              e * 0.6));
    }
    double permitted = 0.06;
    double cheapest = Double.POSITIVE_INFINITY;
    for (int a = 0; a < 5; a++) {
      for (int b = 0; b < 5; b++) {
        for (int c = 0; c < 5; c++) {
          double sum =
              square(records.get(a), 0) + square(records.get(b), 1) + square(records.get(c), 2);
          if (Math.sqrt(sum / 3) <= permitted) {
            cheapest = Math.min(cheapest, (seconds[a] + seconds[b] + seconds[c]) / 3);
          }
        }
      }
    }
    Assignment best = PerHead.best(records, permitted).orElseThrow();
    assertEquals(cheapest, best.seconds(), 1e-12);
    assertTrue(best.least() <= cheapest + 1e-12);
  }

  private static double square(FrontRecord record, int head) {
    return record.perHead().get(head) * record.perHead().get(head);
  }

  @Test
  void whatCannotStandInAMixIsLeftOut() {
    List<FrontRecord> records =
        List.of(record("tiled", 10, 1e-7, 1e-7), record("performer", 1, 0.01, 0.01));
    Assignment best = PerHead.best(records, 0.1).orElseThrow();
    assertEquals(List.of("tiled", "tiled"), best.specs());
    assertFalse(best.mixes());
  }

  @Test
  void mixesAreTriedOnBothInputsAndKept() throws IOException {
    AtomicLong now = new AtomicLong();
    List<Double> permitted = List.of(0.3);
    ErrorProblem problem = ErrorProblem.of("gaussian:scale=2", 200, true, 42, 1);
    ErrorProblem other = ErrorProblem.of("gaussian:scale=2", 200, true, 43, 1);
    Tuner tuner =
        new Tuner(
                problem,
                other,
                permitted,
                "cpu",
                "commit",
                new Stopwatch(() -> now.addAndGet(100_000_000)))
            .perHead();
    Path path = folder.resolve("front.jsonl");
    List<FrontRecord> records =
        List.of(
            record("tiled", 10, 1e-7, 1e-7),
            record("longformer:window=128", 5, 0.2, 0.9),
            record("longformer:window=64", 3, 0.5, 0.9));
    List<FrontRecord> mixes;
    try (FrontSearch search = new FrontSearch(path, () -> false, _ -> {})) {
      mixes = search.mixes(tuner, records, permitted);
    }
    assertEquals(
        "mixed:0=longformer:window=128,1=tiled", mixes.getFirst().spec(), mixes.toString());
    assertEquals("mixed", mixes.getFirst().mechanism());
    assertTrue(mixes.getFirst().perHead().get(1) < 1e-5, "the exact head");
    assertEquals(mixes, FrontFile.read(List.of(path)).records());
  }

  @Test
  void theExactBaselineSaysHowPeakedEachHeadIs() throws IOException {
    AtomicLong now = new AtomicLong();
    ErrorProblem problem = ErrorProblem.of("gaussian:scale=2", 64, true, 42, 1);
    ErrorProblem other = ErrorProblem.of("gaussian:scale=2", 64, true, 43, 1);
    Path path = folder.resolve("front.jsonl");
    List<Double> permitted = List.of(0.3);
    FrontRecord without;
    FrontRecord with;
    try (FrontSearch search = new FrontSearch(path, () -> false, _ -> {})) {
      Stopwatch watch = new Stopwatch(() -> now.addAndGet(100_000_000));
      Tuner plain = new Tuner(problem, other, permitted, "cpu", "commit", watch);
      without = search.on(plain, List.of(), permitted).records().getFirst();
      Tuner byHead = new Tuner(problem, other, permitted, "cpu", "commit", watch).perHead();
      with = search.on(byHead, List.of(), permitted).records().getFirst();
    }
    assertNull(without.entropy());
    List<Double> entropy = Objects.requireNonNull(with.entropy());
    assertEquals(problem.shape().numHeads(), entropy.size());
    AttentionRows all = AttentionRows.of(problem.run("tiled").orElseThrow().target());
    double mean = entropy.stream().mapToDouble(Double::doubleValue).average().orElseThrow();
    assertEquals(all.entropy(), mean, 1e-12);
    assertEquals(entropy, FrontFile.read(List.of(path)).records().getFirst().entropy());
  }
}
