// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.bench.sweep.Sweep.Effort;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.TreeSet;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class SweepFileTest {

  @Test
  void everyKeyIsRead() {
    SweepPlan plan =
        read(
            """
            mechanisms:
              - tiled
              - longformer:window=3
              - performer: {num_features: [64, 128], seed: 7}
            lengths: [100, 256..1024]
            d: [16, 32]
            heads: 3
            batch: 2
            masks: [none, causal]
            threads: [1, 2]
            inputs: "gaussian:scale=2"
            seeds: [-1, 5]
            studies: [forward, decode]
            effort: full
            forks: 4
            """);
    assertEquals(Effort.FULL.withForks(4), plan.effort());
    Sweep sweep = plan.parts().getFirst();
    assertEquals(1, plan.parts().size());
    assertEquals(
        List.of(
            "tiled",
            "longformer:window=3",
            "performer:num_features=64,seed=7",
            "performer:num_features=128,seed=7"),
        sweep.specs());
    assertEquals(List.of(100, 256, 512, 1024), sweep.lengths());
    assertEquals(List.of(16, 32), sweep.dims());
    assertEquals(List.of(3), sweep.heads());
    assertEquals(List.of(2), sweep.batches());
    assertEquals(List.of("none", "causal"), sweep.masks());
    assertEquals(List.of(1, 2), sweep.threads());
    assertEquals(List.of("gaussian:scale=2"), sweep.inputs());
    assertEquals(List.of(-1L, 5L), sweep.seeds());
    assertEquals(List.of(Study.FORWARD, Study.DECODE), sweep.studies());
  }

  @Test
  void absentKeysAreThoseOfTheDefaultSweep() {
    assertEquals(Sweep.defaults(5), read("threads: all", 5).parts().getFirst());
  }

  @Test
  void mechanismsMayBeKeysAndGridsMultiply() {
    SweepPlan plan =
        read(
            """
            mechanisms:
              tiled:
              longformer: {window: [1, 2, 3], dilation: [1, 2]}
            """);
    assertEquals(7, new HashSet<>(plan.parts().getFirst().specs()).size());
  }

  @Test
  void severalSweepsAreMeasuredAsOne() {
    SweepPlan plan =
        read(
            """
            mechanisms: [tiled, longformer]
            lengths: 64
            forks: 2
            ---
            mechanisms: tiled
            lengths: [64, 128]
            """);
    assertEquals(2, plan.effort().forks());
    Set<String> points =
        plan.points().stream().map(p -> p.spec() + " " + p.n()).collect(Collectors.toSet());
    assertEquals(3, plan.points().size(), "a point of both is measured once");
    assertEquals(
        new TreeSet<>(Set.of("longformer 64", "tiled 128", "tiled 64")), new TreeSet<>(points));
  }

  @Test
  void mechanismOfOneOrderIsOnePointUnderBothMasks() {
    SweepPlan plan =
        read("mechanisms: [nystromformer, retnet, tiled]\nlengths: 64\nmasks: [none, causal]");
    assertEquals(
        List.of("nystromformer none", "retnet causal", "tiled causal", "tiled none"),
        plan.points().stream().map(p -> p.spec() + " " + p.mask()).sorted().toList());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "mechanisms:|  - tiled|  - performr;3;mechanism must be one of;did you mean performer?",
        "mechanisms: {performr: {}};1;mechanism must be one of;did you mean performer?",
        "mechanisms:|  - performer: {features: [1]};2;parameter must be;did you mean num_features?",
        "mechanisms:|  performer:|    seed: 1|    num_features:|      - x;5;an integer;'x'",
        "mechanisms:|  longformer: {window: 0};2;window must;",
        "mechanisms: [];1;mechanisms must name;",
        "mechanism: tiled;1;key must be one of;did you mean mechanisms?",
        "masks: none|masks: causal;2;masks must be given once;",
        "masks: [none,|  casual];2;masks must be one of;did you mean causal?",
        "inputs:|  - capturd;2;input must be one of;did you mean captured?",
        "studies: forwrd;1;studies must be one of;did you mean forward?",
        "effort: ful;1;effort must be one of;did you mean full?",
        "lengths: 0;1;lengths must be whole numbers;",
        "lengths: [];1;lengths must hold a value;",
        "lengths: 8..4;1;lengths must grow;",
        "lengths: {a: b};1;lengths must be a word;",
        "heads: 1.5;1;heads must be whole numbers;",
        "forks: none;1;forks must be whole numbers;",
        "seeds: x;1;seeds must be whole numbers;",
        "forks: 2|---|forks: 3;3;first sweep of the file;",
        "lengths: [1|masks: none;2;must be YAML;",
        "lengths: *unknown;1;must be YAML;",
        "- tiled;1;key: value;",
      })
  void mistakeIsToldWithItsLine(String text, int line, String expected, String hint) {
    IllegalArgumentException refused =
        assertThrows(IllegalArgumentException.class, () -> read(text.replace("|", "\n")));
    String message = refused.getMessage();
    assertTrue(message.startsWith("sweep.yaml:" + line + ": "), message);
    assertTrue(message.contains(expected), message);
    assertTrue(hint == null || message.contains(hint), message);
    assertEquals(1, message.lines().count(), message);
  }

  @Test
  void emptyFileIsRefused() {
    assertThrows(IllegalArgumentException.class, () -> read(""));
    assertThrows(IllegalArgumentException.class, () -> read("# nothing"));
  }

  @ParameterizedTest
  @ValueSource(strings = {"quick", "standard", "full", "learned", "decode-stores"})
  void builtInSweepIsValidAndEveryPointMakesSenseButThoseBeyondTheInput(String name)
      throws Exception {
    SweepPlan plan = SweepFile.read(name, SweepFile.preset(name), 2);
    assertTrue(plan.points().size() >= 30);
    for (Point point : plan.points()) {
      assertEquals("", Problem.of(point).refusal());
    }
  }

  @Test
  void quickIsTheDefaultSweepAndSettingsNearTheFront() {
    SweepPlan quick = SweepFile.read("quick", SweepFile.preset("quick"), 3);
    Sweep usual = Sweep.defaults(3);
    List<String> specs = quick.parts().getFirst().specs();
    assertEquals(usual.specs(), specs.subList(0, usual.specs().size()));
    assertTrue(specs.size() > usual.specs().size(), "nothing near the front");
    List<Point> others =
        quick.points().stream().filter(p -> usual.specs().contains(p.spec())).toList();
    assertEquals(usual.points(), others);
    assertEquals(usual.effort(), quick.effort());
    assertThrows(IllegalArgumentException.class, () -> SweepFile.preset("quik"));
  }

  private static SweepPlan read(String text) {
    return read(text, 1);
  }

  private static SweepPlan read(String text, int threads) {
    return SweepFile.read("sweep.yaml", text, threads);
  }
}
