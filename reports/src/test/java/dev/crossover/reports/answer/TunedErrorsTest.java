// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.tune.FrontRecord;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;

class TunedErrorsTest {
  private static final int N = 1024;
  private static final String HOLDS = "moba:block_size=64,top_k=9";
  private static final String LUCKY = "longformer:window=64";

  private static List<ResultRecord> results() {
    RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
    List<ResultRecord> all = new ArrayList<>();
    for (String spec : List.of("tiled", HOLDS, LUCKY)) {
      double seconds = spec.equals("tiled") ? 1 : spec.equals(HOLDS) ? 0.5 : 0.25;
      Approximates kind = spec.equals("tiled") ? Approximates.EXACT : Approximates.SOFTMAX;
      all.add(
          Records.point(
              Study.FORWARD, spec, kind, "causal", N, seconds, 1e6, 0.001, 3, 0.001, random));
    }
    return all;
  }

  private static Advice advice(List<FrontRecord> front) {
    Advice.Question question =
        new Advice.Question(
            N, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), true, 0.05);
    return Advice.of(results(), front, question, "Example CPU @ 2.5 GHz", Optional.empty());
  }

  @Test
  void adviceNeedsTheErrorOnBothParts() {
    Advice advice =
        advice(
            List.of(FrontRecords.of(HOLDS, N, 0.03, 0.04), FrontRecords.of(LUCKY, N, 0.04, 0.06)));
    Advice.Candidate best = advice.best().orElseThrow();
    assertEquals(HOLDS, best.spec());
    assertEquals(0.04, best.error(), "the larger of both parts");
    Advice.Candidate lucky = advice.rejected().getFirst();
    assertEquals(LUCKY, lucky.spec());
    assertEquals(0.06, lucky.error());
    assertTrue(lucky.objection().contains("only where it was chosen"), lucky.objection());
    assertTrue(advice.notes().getLast().contains("searched by crossover tune"));
  }

  @Test
  void withoutTunedSettingsTheRecordsOwnErrorsCount() {
    Advice advice = advice(List.of());
    assertEquals(LUCKY, advice.best().orElseThrow().spec());
    assertFalse(advice.notes().stream().anyMatch(note -> note.contains("tune")));
  }
}
