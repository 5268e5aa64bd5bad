// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;

class AttentionMapTest {
  private static final int N = 256;

  /// float32 rounding of n weights that sum to one: n · 2⁻²⁴, with room for one rounding per step.
  private static final double ROUNDING = 8 * N * 0x1p-24;

  @Test
  void windowCoveringEveryPositionHasTheExactWeights() {
    AttentionMap map = AttentionMap.of(panel("longformer:window=" + N, "causal")).getFirst();
    assertEquals(0, map.totalVariation(), ROUNDING);
  }

  @Test
  void windowLeavesNoWeightOutside() {
    int window = 16;
    AttentionMap map = AttentionMap.of(panel("longformer:window=" + window, "causal")).getFirst();
    for (int i = 0; i < N; i++) {
      double sum = 0;
      for (int j = 0; j < N; j++) {
        boolean inside = j <= i && j >= i - window;
        assertTrue(inside || map.weight(i, j) == 0, i + ", " + j);
        sum += map.weight(i, j);
      }
      assertEquals(1, sum, ROUNDING);
    }
    assertTrue(map.totalVariation() > 0);
  }

  @Test
  void exactRowsSumToOneAndSeeNoLaterKey() {
    AttentionMap map = AttentionMap.of(panel("longformer", "causal")).getFirst();
    for (int i = 0; i < N; i++) {
      double sum = 0;
      for (int j = 0; j < N; j++) {
        assertTrue(j <= i || map.exactWeight(i, j) == 0);
        sum += map.exactWeight(i, j);
      }
      assertEquals(1, sum, ROUNDING);
    }
  }

  @Test
  void mechanismsThatMixPositionsAreSeenWithoutAMask() {
    List<AttentionMap> maps = AttentionMap.of(panel("nystromformer", "none"));
    assertEquals(1, maps.size());
    assertTrue(maps.getFirst().totalVariation() < 1);
  }

  @Test
  void strangersAndUnreadableInputsGiveNoPicture() {
    assertTrue(AttentionMap.of(panel("stranger", "causal")).isEmpty());
    ResultRecord record = record("longformer", "causal");
    assertFalse(AttentionMap.of(Panel.of(List.of(record)).getFirst()).isEmpty());
    assertTrue(AttentionMap.of(panel("performer:num_features=0", "causal")).isEmpty());
  }

  private static Panel panel(String spec, String mask) {
    List<ResultRecord> records = new ArrayList<>();
    records.add(record(spec, mask));
    return Panel.of(records).getFirst();
  }

  private static ResultRecord record(String spec, String mask) {
    return Records.point(
        Study.FORWARD,
        spec,
        Approximates.SOFTMAX,
        mask,
        N,
        1e-3,
        100,
        0.1,
        3,
        0.01,
        Curves.random(1));
  }
}
