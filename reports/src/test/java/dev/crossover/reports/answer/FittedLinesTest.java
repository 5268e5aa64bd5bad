// SPDX-License-Identifier: Apache-2.0
package dev.crossover.reports.answer;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.mechanism.Mechanism.Approximates;
import dev.crossover.bench.result.ResultRecord;
import dev.crossover.bench.result.ResultRecord.Study;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;

class FittedLinesTest {
  private static final double[] LENGTHS = {256, 512, 1024, 2048, 4096, 8192};

  /// 2e-9 n² + 1e-7 n + 1e-5 = 3e-6 n + 2e-4 at n = (2.9e-6 + √(8.41e-12 + 1.52e-12)) / 4e-9.
  @Test
  void exactParabolaAndLineMeetWhereAlgebraSays() {
    double[] line = Arrays.copyOfRange(LENGTHS, 1, 6);
    double meeting =
        FittedLines.meeting(
            LENGTHS,
            Arrays.stream(LENGTHS).map(n -> 2e-9 * n * n + 1e-7 * n + 1e-5).toArray(),
            line,
            Arrays.stream(line).map(n -> 3e-6 * n + 2e-4).toArray());
    assertEquals((2.9e-6 + Math.sqrt(8.41e-12 + 1.52e-12)) / 4e-9, meeting, 1e-6);
  }

  @Test
  void linesThatDoNotMeetGiveNothing() {
    double[] high = Arrays.stream(LENGTHS).map(n -> 1e-9 * n * n + 1).toArray();
    double[] low = Arrays.stream(LENGTHS).map(n -> 1e-9 * n).toArray();
    assertTrue(Double.isNaN(FittedLines.meeting(LENGTHS, high, LENGTHS, low)));
  }

  /// Quartiles 2.5 and 7.5 between neighbours: 3 … 7 remain.
  @Test
  void middleHalfLeavesOutBothEnds() {
    assertEquals(5, FittedLines.middleMean(new double[] {1, 2, 3, 4, 5, 6, 7, 8, 9}));
    assertEquals(3.5, FittedLines.middleMean(new double[] {1000, 3, 4, 0}));
  }

  /// A straight line fitted to times that grow faster at large lengths misses where the curves
  /// cross among the small ones.
  @Test
  void methodIsReplayedBesideTheInterpolatedCrossing() {
    List<ResultRecord> records = new ArrayList<>();
    for (double length : LENGTHS) {
      int n = (int) length;
      records.add(point("materialised", n, 2e-9 * n * n + 1e-5));
      records.add(point("performer", n, 5e-10 * n * n + 3e-4));
    }
    List<FittedLines> replays = FittedLines.of(PaperClaims.all(), Panel.of(records));
    assertEquals(List.of("performer"), replays.stream().map(FittedLines::spec).toList());
    FittedLines performer = replays.getFirst();
    assertEquals(2361, performer.published());
    double truth = performer.interpolated().n();
    assertTrue(performer.interpolated().low() <= truth && truth <= performer.interpolated().high());
    // 5e-10 n² + 3e-4 = 2e-9 n² + 1e-5 at n = √(2.9e-4 / 1.5e-9) = 440
    assertEquals(440, truth, 0.05 * 440);
    assertTrue(performer.outside(), performer.toString());
  }

  private static ResultRecord point(String spec, int n, double seconds) {
    return Records.point(
        Study.FORWARD,
        spec,
        Approximates.SOFTMAX,
        "none",
        n,
        seconds,
        1e6,
        0.1,
        4,
        0.005,
        Curves.random(n));
  }
}
