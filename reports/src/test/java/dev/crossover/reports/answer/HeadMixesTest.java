// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.tune.FrontRecord;
import dev.crossover.reports.page.PhaseFiles;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.random.RandomGenerator;
import java.util.random.RandomGeneratorFactory;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class HeadMixesTest {
  private static final int N = 1024;
  private static final int HEADS = 8;
  private static final String WINDOW = "longformer:window=64";
  private static final String MIX = "mixed:0-6=longformer:window=64,7=tiled";

  private final RandomGenerator random = RandomGeneratorFactory.of("L64X128MixRandom").create(1);
  private final List<ResultRecord> results = new ArrayList<>();
  private final List<FrontRecord> front = new ArrayList<>();

  private void time(String spec, double seconds) {
    Approximates kind = spec.equals("tiled") ? Approximates.EXACT : Approximates.SOFTMAX;
    results.add(
        Records.point(Study.FORWARD, spec, kind, "causal", N, seconds, 1e6, 0.1, 3, 0.001, random));
  }

  private void tried(String spec, double chosen, double other, @Nullable List<Double> entropy) {
    front.add(
        FrontRecords.of(
            spec,
            N,
            "sinks",
            chosen,
            other,
            Collections.nCopies(HEADS, chosen),
            entropy,
            "0123abc"));
  }

  private void baseline() {
    time("tiled", 1);
    List<Double> entropy = new ArrayList<>(Collections.nCopies(HEADS, 2.0));
    entropy.set(7, 5.5);
    tried("tiled", 0, 0, entropy);
  }

  private HeadMixes mixes() {
    return HeadMixes.of(PhaseDiagram.of(results, front).getFirst(), front);
  }

  @Test
  void aMixMayWinWhereNoSingleSettingDoes() {
    baseline();
    time(WINDOW, 0.25);
    tried(WINDOW, 0.09, 0.09, null);
    time(MIX, 0.5);
    tried(MIX, 0.04, 0.06, null);
    HeadMixes mixes = mixes();
    assertEquals(2, mixes.lines().size());
    assertTrue(
        mixes
            .lines()
            .getFirst()
            .matches(
                "A mix of settings by head is faster than exact attention where no single setting"
                    + " is: n = 1,024 within 5\\.0 %, 2[0-9.]* \\([0-9.–]+\\) times, but only where"
                    + " it was chosen\\."),
        mixes.lines().getFirst());
    assertEquals(
        "Nowhere is a mix faster than the fastest single setting with its whole interval.",
        mixes.lines().getLast());
    assertEquals(HEADS, mixes.rows().size());
    HeadMixes.Row first = mixes.rows().getFirst();
    HeadMixes.Row last = mixes.rows().getLast();
    assertEquals(WINDOW, first.setting());
    assertEquals(2.0, first.entropy());
    assertEquals("tiled", last.setting());
    assertEquals(5.5, last.entropy());
    assertEquals(0.05, last.error());
    assertEquals(2, last.speedUp().orElseThrow().value(), 0.02);
    String words = PhaseFiles.markdown(PhaseDiagram.of(results, front).getFirst(), mixes);
    assertTrue(words.contains("| 7 | 5.50 | 245 | tiled |"), words);
  }

  @Test
  void aMixMayBeFasterThanTheFastestSingleSetting() {
    baseline();
    time(WINDOW, 0.5);
    tried(WINDOW, 0.04, 0.04, null);
    time(MIX, 0.25);
    tried(MIX, 0.04, 0.04, null);
    List<String> lines = mixes().lines();
    assertEquals(
        "No mix of settings by head is faster than exact attention where no single setting is.",
        lines.getFirst());
    assertTrue(
        lines
            .getLast()
            .matches(
                "A mix is faster than the fastest single setting with its whole interval: n = 1,024"
                    + " within 5\\.0 %, [0-9.]+ \\([0-9.–]+\\) times; n = 1,024 within 10 %, .*"),
        lines.getLast());
  }

  @Test
  void withoutMixesTheLineSaysWhy() {
    baseline();
    time(WINDOW, 0.5);
    tried(WINDOW, 0.04, 0.04, null);
    assertEquals(1, mixes().lines().size());
    assertTrue(mixes().lines().getFirst().contains("no mix is cheaper"), mixes().toString());
    tried(MIX, 0.04, 0.04, null);
    assertTrue(mixes().lines().getFirst().contains("none was timed"), mixes().toString());
    assertEquals(HEADS, mixes().rows().size(), "what was tried is shown all the same");
    assertTrue(mixes().rows().getFirst().speedUp().isEmpty());
  }

  @Test
  void whatWasNotSoughtByHeadSaysNothing() {
    time("tiled", 1);
    tried("tiled", 0, 0, null);
    time(WINDOW, 0.5);
    tried(WINDOW, 0.04, 0.04, null);
    assertEquals(new HeadMixes(List.of(), List.of()), mixes());
  }
}
