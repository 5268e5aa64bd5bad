// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Advice.Candidate;
import dev.crossover.reports.answer.Advice.Question;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.random.RandomGenerator;
import org.junit.jupiter.api.Test;

class AdviceTest {
  private static final String CPU = "Example CPU @ 2.5 GHz";
  private static final List<ResultRecord> STUDY = SyntheticStudy.records(3);

  @Test
  void fastestWithinTheErrorIsAdvisedAndTheNextBestIsRunnerUp() {
    // true errors at 8192: window 256 0.8 %, window 64 6 %, performer 40 and 21 %
    Advice strict = ask(STUDY, question(8192, 0.05));
    assertEquals("longformer:window=256", strict.best().orElseThrow().spec());
    assertTrue(strict.runnerUp().isEmpty());
    Advice loose = ask(STUDY, question(8192, 0.1));
    assertEquals("longformer:window=64", loose.best().orElseThrow().spec());
    assertEquals("longformer:window=256", loose.runnerUp().orElseThrow().spec());
    assertEquals("tiled", loose.exact(), "the faster of the two exact baselines");
  }

  @Test
  void intervalHoldsTheTrueSpeedUp() {
    Candidate best = ask(STUDY, question(8192, 0.05)).best().orElseThrow();
    double exact = 3e-5 + 4.5e-9 * 8192.0 * 8192 / 2 + 2e-7 * 8192;
    double own = 3e-5 + 8e-6 * 8192;
    double truth = exact / own;
    assertTrue(best.speedUp().low() <= truth && truth <= best.speedUp().high(), best.toString());
  }

  @Test
  void mechanismThatApproximatesNothingIsNeverAdvised() {
    Advice advice = ask(STUDY, question(8192, 1e9));
    assertTrue(advice.eligible().stream().noneMatch(c -> c.spec().equals("linear_transformer")));
    assertTrue(objection(advice, "linear_transformer").contains("approximates nothing"));
  }

  @Test
  void mechanismThatCannotBeCausalIsNeverAdvisedForCausalAttention() {
    assertEquals("cannot be causal", objection(ask(STUDY, question(8192, 1)), "nystromformer"));
    Question free =
        new Question(
            8192, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), false, 0.2);
    assertTrue(
        ask(STUDY, free).eligible().stream().anyMatch(c -> c.spec().equals("nystromformer")));
  }

  @Test
  void lengthBeyondTheMeasuredOnesIsNotExtrapolated() {
    for (int n : new int[] {128, 8193, 1 << 20}) {
      Advice advice = ask(STUDY, question(n, 1));
      assertTrue(advice.best().isEmpty());
      assertTrue(advice.lengths().isEmpty());
      assertTrue(advice.notes().getFirst().contains("nothing is extrapolated"));
    }
  }

  @Test
  void betweenTwoLengthsTheWorseOfBothCounts() {
    // error and speed-up both grow with n here, so each of the two lengths is worse in one
    Advice advice = ask(STUDY, question(6000, 0.01));
    assertEquals(List.of(4096, 8192), advice.lengths());
    Candidate best = advice.best().orElseThrow();
    Candidate below = ask(STUDY, question(4096, 0.01)).best().orElseThrow();
    Candidate above = ask(STUDY, question(8192, 0.01)).best().orElseThrow();
    assertEquals(Math.min(below.speedUp().low(), above.speedUp().low()), best.speedUp().low());
    assertEquals(Math.max(below.error(), above.error()), best.error());
    assertTrue(advice.notes().getFirst().startsWith("n = 6,000 was not measured"));
  }

  @Test
  void speedUpThatMayBeNoiseIsNotAdvised() {
    RandomGenerator random = Curves.random(5);
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {1024, 2048}) {
      records.add(record("tiled", Approximates.EXACT, n, 1e-3, 1e-7, 5, 0.2, random));
      records.add(record("longformer", Approximates.SOFTMAX, n, 0.98e-3, 0.01, 5, 0.2, random));
      records.add(record("performer", Approximates.SOFTMAX, n, 9e-3, 0.01, 5, 0.2, random));
    }
    Advice advice = ask(records, question(2048, 0.05));
    assertTrue(advice.best().isEmpty());
    assertEquals("the interval of the speed-up holds 1", objection(advice, "longformer"));
    assertEquals("slower than exact", objection(advice, "performer"));
  }

  @Test
  void singleForksAdviseNothing() {
    RandomGenerator random = Curves.random(6);
    List<ResultRecord> records =
        List.of(
            record("tiled", Approximates.EXACT, 2048, 1e-2, 1e-7, 1, 0, random),
            record("longformer", Approximates.SOFTMAX, 2048, 1e-3, 0.01, 1, 0, random));
    Advice advice = ask(records, question(2048, 0.05));
    assertTrue(advice.best().isEmpty());
    assertTrue(objection(advice, "longformer").contains("no interval"));
  }

  @Test
  void errorsOnTheUsersTensorsReplaceThoseOfTheRecords() {
    Advice.Errors own =
        spec -> {
          if (spec.equals("performer:num_features=128")) {
            throw new IllegalArgumentException("nq must equal nk");
          }
          return spec.equals("longformer:window=64") ? 0.01 : 0.9;
        };
    Advice advice = Advice.of(STUDY, question(8192, 0.05), CPU, Optional.of(own));
    assertEquals("longformer:window=64", advice.best().orElseThrow().spec());
    assertEquals("error too large", objection(advice, "longformer:window=256"));
    assertTrue(objection(advice, "performer:num_features=128").contains("nq must equal nk"));
  }

  @Test
  void smallErrorAgainstAnotherSoftmaxIsNoReasonToReplaceExactAttention() {
    RandomGenerator random = Curves.random(7);
    List<ResultRecord> records = new ArrayList<>();
    records.add(record("tiled", Approximates.EXACT, 2048, 1e-2, 1e-7, 5, 0, random));
    records.add(record("rfa", Approximates.SOFTMAX, 2048, 1e-3, 0.01, 5, 0, random));
    Advice advice = ask(records, question(2048, 0.05));
    assertTrue(advice.best().isEmpty());
    assertTrue(objection(advice, "rfa").contains("unit length"), objection(advice, "rfa"));
  }

  @Test
  void differentSizesThreadsAndMachinesAreSaid() {
    Question other =
        new Question(8192, OptionalInt.of(128), OptionalInt.of(16), OptionalInt.of(32), true, 0.05);
    List<String> notes = Advice.of(STUDY, other, "Another CPU", Optional.empty()).notes();
    assertTrue(notes.stream().anyMatch(t -> t.contains("head width 64, not 128")), notes::toString);
    assertTrue(notes.stream().anyMatch(t -> t.contains("heads 8, not 16")), notes::toString);
    assertTrue(notes.stream().anyMatch(t -> t.contains("threads 2, not 32")), notes::toString);
    assertTrue(notes.stream().anyMatch(t -> t.contains("another machine")), notes::toString);
    assertEquals(List.of(), ask(STUDY, question(8192, 0.05)).notes());
  }

  @Test
  void recordsOfThisMachineArePreferredAndNeverMixedWithOthers() {
    List<ResultRecord> both = new ArrayList<>();
    for (ResultRecord record : STUDY) {
      both.add(Records.on(record, Records.environment("A faster CPU")));
    }
    both.addAll(STUDY);
    Advice advice = ask(both, question(8192, 0.05));
    assertEquals(CPU, advice.panel().orElseThrow().environment().cpu());
    assertEquals(ask(STUDY, question(8192, 0.05)).best(), advice.best());
  }

  @Test
  void textSaysTheAnswerFirstAndEveryMechanismOnce() {
    Advice advice = ask(STUDY, question(8192, 0.05));
    List<String> lines = AdviceText.of(advice, "captured");
    assertEquals("Use longformer:window=256", lines.getFirst());
    assertTrue(lines.contains("Runner-up: exact attention, tiled"), lines::toString);
    for (String spec : new String[] {"longformer:window=64", "reformer", "nystromformer"}) {
      assertEquals(1, lines.stream().filter(l -> l.startsWith(spec + " ")).count(), spec);
    }
    List<String> none = AdviceText.of(ask(STUDY, question(8192, 1e-6)), "captured");
    assertEquals("Use exact attention: tiled", none.getFirst());
    assertFalse(none.stream().anyMatch(l -> l.endsWith("advisable")));
  }

  private static Advice ask(List<ResultRecord> records, Question question) {
    return Advice.of(records, question, CPU, Optional.empty());
  }

  private static Question question(int n, double maxError) {
    return new Question(
        n, OptionalInt.empty(), OptionalInt.empty(), OptionalInt.empty(), true, maxError);
  }

  private static String objection(Advice advice, String spec) {
    return advice.rejected().stream()
        .filter(c -> c.spec().equals(spec))
        .findFirst()
        .orElseThrow()
        .objection();
  }

  private static ResultRecord record(
      String spec,
      Approximates approximates,
      int n,
      double seconds,
      double error,
      int forks,
      double noise,
      RandomGenerator random) {
    return Records.point(
        Study.FORWARD, spec, approximates, "causal", n, seconds, 1e6, error, forks, noise, random);
  }

  @Test
  void nothingMeasuredThereIsNoAdvice() {
    Advice advice = ask(STUDY, question(1 << 20, 0.05));
    assertFalse(advice.answered());
    List<String> lines = AdviceText.of(advice, "captured");
    assertTrue(lines.getFirst().startsWith("Nothing was measured there"), lines.toString());
    assertTrue(lines.stream().noneMatch(line -> line.startsWith("Use ")), lines.toString());
  }

  @Test
  void roundedErrorNeverContradictsTheOneAskedFor() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {256, 512, 1024}) {
      records.add(made("tiled", Approximates.EXACT, n, 1e-6 * n, 1e-7));
      records.add(made("longformer", Approximates.SOFTMAX, n, 1e-7 * n, 0.1004));
    }
    List<String> lines = AdviceText.of(ask(records, question(512, 0.1)), "captured");
    assertTrue(
        lines.stream().anyMatch(line -> line.contains("error 10.04 % on captured, at most 10 %")),
        lines.toString());
  }

  /// Reformer approximates another softmax and a linear transformer none: neither could ever have
  /// been advised, however fast.
  @Test
  void nearestMissIsOneThatCouldHaveBeenAdvised() {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : new int[] {256, 512, 1024}) {
      records.add(made("tiled", Approximates.EXACT, n, 1e-6 * n, 1e-7));
      records.add(made("reformer", Approximates.SOFTMAX, n, 1e-8 * n, 0.06));
      records.add(made("linear_transformer", Approximates.NONE, n, 1e-8 * n, Double.NaN));
      records.add(made("performer", Approximates.SOFTMAX, n, 1e-7 * n, 0.4));
    }
    Advice advice = ask(records, question(512, 0.05));
    assertEquals("performer", advice.nearestMiss().orElseThrow().spec());
  }

  private static ResultRecord made(
      String spec, Approximates approximates, int n, double seconds, double error) {
    return record(spec, approximates, n, seconds, error, 4, 0.001, Curves.random(n));
  }
}
