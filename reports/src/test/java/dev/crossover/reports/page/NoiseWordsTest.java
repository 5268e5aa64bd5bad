// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.page;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Conditions;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.reports.answer.Disturbances;
import dev.crossover.reports.answer.Panel;
import dev.crossover.reports.answer.PanelAnswer;
import dev.crossover.reports.answer.Records;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.random.RandomGeneratorFactory;
import org.junit.jupiter.api.Test;

/// Records of two threads and three rounds at six lengths of one mechanism, the forks of a point
/// 0.1 % apart, so that only what the machine did beside them can make a difference.
class NoiseWordsTest {
  private static final int[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};
  private static final int ROUNDS = 3;

  /// Load average and frequency after a fork.
  @FunctionalInterface
  private interface Machine {
    Conditions after(int n, int round);
  }

  @Test
  void aMachineLeftAloneIsQuiet() {
    List<ResultRecord> records = records((n, round) -> new Conditions(2.9, 2600.0 + round));
    assertFalse(disturbances(records).any());
    String words = words(records);
    assertTrue(words.startsWith("the machine was quiet: "), words);
    assertFalse(words.contains("competed"), words);
    assertFalse(words.contains("clock"), words);
  }

  @Test
  void loadBeyondTheSweepsOwnNamesItsRoundsAndPoints() {
    List<ResultRecord> records =
        records((n, round) -> new Conditions(round == 2 && n >= 4096 ? 5.25 : 2.0, 2600.0 + round));
    Disturbances noticed = disturbances(records);
    assertEquals(2, noticed.crowded().size());
    assertEquals(3 * LENGTHS.length, noticed.loads());
    String words = words(records);
    assertTrue(
        words.contains(
            "other processes competed: the load average was above 3 (threads of the sweep and one"
                + " more) after 2 of 18 forks, 5.25 at worst; round 2: Longformer at n = 4,096;"
                + " Longformer at n = 8,192."),
        words);
    assertTrue(words.startsWith("forks agree, though the machine was not left alone: "), words);
    assertFalse(words.contains("clock"), words);
  }

  @Test
  void theSweepsOwnThreadsAndOneMoreAreNoDisturbance() {
    assertFalse(disturbances(records((n, round) -> new Conditions(3.0, null))).any());
    assertTrue(disturbances(records((n, round) -> new Conditions(3.01, null))).any());
  }

  @Test
  void aClockMoreThanFivePercentFromTheMedianNamesItsRoundsAndPoints() {
    List<ResultRecord> records =
        records((n, round) -> new Conditions(2.0, round == 3 ? 2100.0 : 2600.0));
    assertEquals(2600, disturbances(records).medianMegahertz());
    assertEquals(LENGTHS.length, disturbances(records).drifted().size());
    String words = words(records);
    assertTrue(
        words.contains(
            "the clock changed its pace: after 6 of 18 forks it was more than 5.0 % from the median"
                + " of 2,600 MHz, at 2,100 MHz; round 3: Longformer at n = 256; Longformer at n ="
                + " 512; Longformer at n = 1,024; Longformer at n = 2,048; and 2 more."),
        words);
    assertFalse(words.contains("competed"), words);
  }

  @Test
  void aClockFourPercentFromTheMedianIsNoDisturbance() {
    List<ResultRecord> records =
        records((n, round) -> new Conditions(2.0, round == 3 ? 2500.0 : 2600.0));
    assertFalse(disturbances(records).any());
  }

  @Test
  void aClockThatNeverChangesIsNotTakenAsProof() {
    String words = words(records((n, round) -> new Conditions(2.0, 2596.12)));
    assertTrue(words.contains("told the same frequency, 2,596 MHz, at every fork"), words);
  }

  @Test
  void recordsWithoutConditionsSayThatNoneAreKnown() {
    List<ResultRecord> without = records((n, round) -> null);
    assertTrue(words(without).contains("neither load nor frequency was recorded"), words(without));
    List<ResultRecord> empty = records((n, round) -> new Conditions(null, null));
    assertTrue(words(empty).contains("neither load nor frequency was recorded"), words(empty));
  }

  @Test
  void theReasonsToDoubtHoldThem() {
    List<ResultRecord> records = records((n, round) -> new Conditions(9.5, 2000.0 + 400 * round));
    List<PanelAnswer> answers = Panel.of(records).stream().map(PanelAnswer::of).toList();
    String doubts = String.join("\n", Doubts.of(answers, records));
    assertTrue(doubts.contains("Other processes competed: "), doubts);
    assertTrue(doubts.contains("rounds 1, 2, 3: "), doubts);
    assertTrue(doubts.contains("The clock changed its pace: "), doubts);
    assertTrue(doubts.contains("between 2,400 and 3,200 MHz; rounds 1, 3: "), doubts);
  }

  private static Disturbances disturbances(List<ResultRecord> records) {
    return Disturbances.of(Panel.of(records).getFirst());
  }

  private static String words(List<ResultRecord> records) {
    PanelAnswer answer = PanelAnswer.of(Panel.of(records).getFirst());
    return String.join("\n", NoiseWords.of(answer, false)) + "\n" + NoiseWords.unknown(answer);
  }

  private static List<ResultRecord> records(Machine machine) {
    List<ResultRecord> records = new ArrayList<>();
    for (int n : LENGTHS) {
      ResultRecord record =
          Records.point(
              Study.FORWARD,
              "longformer",
              Approximates.SOFTMAX,
              "causal",
              n,
              n * 1e-5,
              n * 100.0,
              0.1,
              ROUNDS,
              0.001,
              RandomGeneratorFactory.of("L64X128MixRandom").create(n));
      Conditions[] conditions = new Conditions[ROUNDS];
      Arrays.setAll(conditions, i -> machine.after(n, i + 1));
      records.add(Records.under(record, conditions[0] == null ? null : Arrays.asList(conditions)));
    }
    return records;
  }
}
