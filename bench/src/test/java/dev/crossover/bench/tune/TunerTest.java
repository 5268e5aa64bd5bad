// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.tune;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.error.ErrorProblem;
import dev.crossover.bench.error.HeadErrors.Interval;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.atomic.AtomicLong;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class TunerTest {
  private static final List<Double> PERMITTED = List.of(0.05, 0.2);

  /// A clock by which every call takes a tenth of a second.
  private static Tuner tuner(ErrorProblem problem, @Nullable ErrorProblem other) {
    AtomicLong now = new AtomicLong();
    return new Tuner(
        problem,
        other,
        PERMITTED,
        "cpu",
        "commit",
        new Stopwatch(() -> now.addAndGet(100_000_000)));
  }

  @Test
  void everyApproximationOfSoftmaxHasAKnob() {
    for (MechanismType type : Catalogue.all()) {
      if (type.mechanism().approximates() == Approximates.SOFTMAX) {
        assertFalse(type.knobs().isEmpty(), type.name() + " must have a @Knob");
      }
      for (String spec : type.knobs().isEmpty() ? List.<String>of() : Tuner.grid(type)) {
        Catalogue.parse(spec);
      }
    }
    assertTrue(Tuner.tunable().containsAll(List.of("longformer", "moba", "block_topk", "topk")));
  }

  @Test
  void settingsAreChosenOnSomeHeadsAndJudgedOnOthers() throws IOException {
    Tuner tuner = tuner(ErrorProblem.of("gaussian:scale=2", 256, true, 42, 2), null);
    List<FrontRecord> tried = new ArrayList<>();
    for (Tuner.Setting setting : tuner.settings("longformer")) {
      tried.add(tuner.tried(setting.spec()));
    }
    List<String> specs = tried.stream().map(FrontRecord::spec).toList();
    assertEquals("longformer:window=16", specs.getFirst(), "least work first");
    assertFalse(specs.contains("longformer:window=2048"), "no setting of more work than exact");
    FrontRecord narrow = tried.getFirst();
    assertTrue(narrow.chosen().low() > 0.2 && narrow.seconds() == null, "too wrong to be timed");
    for (FrontRecord record : tried) {
      Interval other = record.other();
      assertNotNull(other);
      assertTrue(record.chosen().error() != other.error() || other.error() < 1e-5, record.spec());
      assertEquals(record.perHead().get(0), record.chosen().error(), 1e-15);
      assertEquals(record.perHead().get(1), other.error(), 1e-15);
    }
  }

  @Test
  void anotherInputJudgesWithAllItsHeads() throws IOException {
    ErrorProblem chosen = ErrorProblem.of("gaussian:scale=2", 128, true, 42, 1);
    ErrorProblem other = ErrorProblem.of("gaussian:scale=4", 128, true, 42, 1);
    String spec = "longformer:window=16";
    FrontRecord across = tuner(chosen, other).tried(spec);
    FrontRecord there = tuner(other, null).tried(spec);
    assertEquals("gaussian:scale=4", across.otherInput());
    double first = there.perHead().get(0);
    double second = there.perHead().get(1);
    assertNotNull(across.other());
    assertEquals(Math.sqrt((first * first + second * second) / 2), across.other().error(), 1e-12);
  }

  @Test
  void whereTheIntervalHoldsAPermittedErrorAllRowsAreCompared() throws IOException {
    ErrorProblem problem = ErrorProblem.of("gaussian:scale=2", 1024, false, 42, 2);
    String spec = "longformer:window=64";
    FrontRecord sampled = tuner(problem, null).tried(spec);
    assertEquals(256, sampled.rows());
    Interval chosen = sampled.chosen();
    assertTrue(chosen.low() < chosen.error() && chosen.error() < chosen.high(), "" + chosen);
    AtomicLong now = new AtomicLong();
    List<Double> near = List.of(chosen.error());
    FrontRecord whole =
        new Tuner(
                problem,
                null,
                near,
                "cpu",
                "commit",
                new Stopwatch(() -> now.addAndGet(100_000_000)))
            .tried(spec);
    assertEquals(1024, whole.rows());
    assertEquals(whole.chosen().low(), whole.chosen().high(), "nothing is left open");
    assertTrue(
        chosen.low() <= whole.chosen().error() && whole.chosen().error() <= chosen.high(),
        whole.chosen() + " must lie in " + chosen);
    assertFalse(sampled.decides(near));
    assertTrue(whole.decides(near) && sampled.decides(PERMITTED));
  }

  @Test
  void whatIsDrawnAtRandomIsDrawnFromTheSeed() throws IOException {
    ErrorProblem problem = ErrorProblem.of("gaussian:scale=1", 1024, false, 7, 1);
    for (Tuner.Setting setting : tuner(problem, null).settings("performer")) {
      assertTrue(setting.spec().contains("seed=7"), setting.spec());
    }
  }

  private static FrontRecord record(String spec, double error, @Nullable Double seconds) {
    return record(spec, error, seconds, null);
  }

  private static FrontRecord record(
      String spec, double error, @Nullable Double seconds, @Nullable Double other) {
    Interval interval = new Interval(error, error, error);
    String mechanism = spec.contains(":") ? spec.substring(0, spec.indexOf(':')) : spec;
    return new FrontRecord(
        FrontRecord.KIND,
        1,
        "captured",
        null,
        1024,
        2,
        64,
        "causal",
        2,
        42,
        mechanism,
        spec,
        PERMITTED,
        1e9,
        interval,
        other == null ? null : new Interval(other, other, other),
        List.of(error),
        null,
        256,
        seconds,
        "cpu",
        "commit");
  }

  @Test
  void whatSeemsFastestWithinEachErrorIsTimedAndItsRival() {
    List<FrontRecord> records =
        List.of(
            record("tiled", 1e-7, 10.0),
            record("a:k=1", 0.5, null),
            record("a:k=2", 0.1, 2.0),
            record("a:k=3", 0.04, 5.0),
            record("a:k=4", 0.01, 5.5),
            record("a:k=5", 0.01, 9.0),
            record("b:k=1", 0.02, 8.0),
            record("c:k=1", 0.02, 30.0));
    assertEquals(List.of("a:k=3", "a:k=2", "b:k=1"), Tuner.worthTiming(records, PERMITTED, 1));
    assertEquals(
        List.of("a:k=3", "a:k=2", "a:k=4", "b:k=1"), Tuner.worthTiming(records, PERMITTED, 2));
    List<FrontRecord> slow = List.of(records.getFirst(), record("c:k=1", 0.02, 30.0));
    assertEquals(List.of(), Tuner.worthTiming(slow, PERMITTED, 3), "never as fast as exact");
    assertNull(records.get(1).seconds());
    FrontRecord lucky = record("a:k=2", 0.1, 2.0, 0.3);
    FrontRecord holds = record("a:k=3", 0.04, 5.0, 0.15);
    assertEquals(
        List.of("a:k=3", "a:k=2"),
        Tuner.worthTiming(List.of(records.getFirst(), lucky, holds), List.of(0.05, 0.2), 1));
    assertEquals(
        List.of("a:k=2", "a:k=3"),
        Tuner.worthTiming(List.of(records.getFirst(), lucky, holds), List.of(0.2), 1),
        "what holds on the other part is timed, too");
  }
}
