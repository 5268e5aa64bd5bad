// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.mechanism.MechanismType;
import dev.crossover.bench.result.ResultRecord.Study;
import dev.crossover.variants.Catalogue;
import java.io.IOException;
import org.junit.jupiter.api.Test;

/// Sizes whose products exceed what an array, or a number, can hold.
class ProblemSizesTest {
  private static final int[][] SIZES = {
    {64, 100_000, 0, 0},
    {64, 1 << 20, 0, 0},
    {64, Integer.MAX_VALUE, 0, 0},
    {1 << 20, 64, 0, 0},
    {1 << 30, 1 << 10, 0, 0},
    {1 << 20, 1, 1, 1},
    {64, 64, 1 << 20, 0},
    {64, 64, 1 << 15, 1 << 15},
    {64, 64, 0, Integer.MAX_VALUE},
    {Integer.MAX_VALUE, Integer.MAX_VALUE, Integer.MAX_VALUE, Integer.MAX_VALUE}
  };

  @Test
  void everyMechanismCountsOrRefusesThemByName() throws IOException {
    for (MechanismType type : Catalogue.all()) {
      for (String spec : new String[] {type.name(), "layer/" + type.name()}) {
        for (int[] s : SIZES) {
          for (Study study : Study.values()) {
            String what = spec + " " + java.util.Arrays.toString(s);
            try {
              Problem problem =
                  Problem.of(
                      new Point(
                          study, spec, s[0], s[1], s[2], s[3], "none", 1, "gaussian:scale=1", 1));
              assertTrue(problem.heapBytes() > 0, what);
              assertTrue(problem.cost().flops() >= 0, what);
              assertTrue(problem.cost().scratchBytes() >= 0, what);
              assertTrue(problem.callFlops() >= 0, what);
            } catch (IllegalArgumentException e) {
              assertTrue(e.getMessage().matches("(?s).+ must .+ but .+"), what + ": " + e);
              assertEquals(1, e.getMessage().lines().count(), what);
            }
          }
        }
      }
    }
  }

  @Test
  void overflowIsToldWithTheSizes() {
    assertEquals(
        "based: every array must hold at most 2147483647 elements, but sizes were batch 1, heads 2,"
            + " n 64, dim 100000",
        assertThrows(
                IllegalArgumentException.class,
                () ->
                    Catalogue.parse("based")
                        .plan(AttentionShape.of(1, 2, 64, 100_000), Mask.none(), 1))
            .getMessage());
  }
}
