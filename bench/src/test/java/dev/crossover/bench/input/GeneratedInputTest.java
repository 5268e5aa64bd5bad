// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotNull;
import static org.junit.jupiter.api.Assertions.assertNull;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ErrorStudy;
import java.io.IOException;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class GeneratedInputTest {
  private static final int N = 1024;
  private static final AttentionShape SHAPE = AttentionShape.of(1, 2, N, 64);

  @ParameterizedTest
  @ValueSource(
      strings = {
        "low_rank:rank=4,scale=2",
        "clustered:clusters=8,spread=0.5,scale=1",
        "heavy_tailed:dof=2.5,scale=1",
        "needle:depth=0.25,mass=0.8,scale=0.5",
        "sinks:count=2,mass=0.6,value=0,scale=1"
      })
  void labelMakesTheSameTensorsAgainAndAnotherSeedOthers(String label) throws IOException {
    InputSource input = InputSource.parse(label);
    assertEquals(label, input.label());
    AttentionShape shape =
        input.shapeFor(AttentionShape.of(2, 4, 32, 16).withKeyValueHeads(2).withSeqLens(16, 32));
    Tensors first = input.load(shape, 1);
    Tensors again = InputSource.parse(label).load(shape, 1);
    Tensors other = input.load(shape, 2);
    for (String name : new String[] {"q", "k", "v"}) {
      assertArrayEquals(first.get(name).data(), again.get(name).data(), name);
      assertFalse(Arrays.equals(first.get(name).data(), other.get(name).data()), name);
      for (float element : first.get(name).data()) {
        assertTrue(Float.isFinite(element), name);
      }
    }
    assertArrayEquals(new int[] {2, 4, 16, 16}, first.get("q").shape());
    assertArrayEquals(new int[] {2, 2, 32, 16}, first.get("k").shape());
  }

  @ParameterizedTest
  @CsvSource(
      delimiter = ';',
      value = {
        "low_rank:rank=0;rank must be >= 1, but was 0",
        "low_rank:rank=1.5;rank must be an integer",
        "low_rank:rnk=2;did you mean rank?",
        "clustered:spread=2;spread must be from 0 to 1",
        "heavy_tailed:dof=0.5;dof must be from 1",
        "needle:depth=1;depth must be from 0 to below 1",
        "needle:mass=1;mass must be above 0 and below 1",
        "sinks:count=0;count must be >= 1",
        "sinks:scale=0;scale must be above 0",
        "neddle;did you mean needle?"
      })
  void parameterOutOfRangeIsRefusedByName(String label, String expected) {
    String message =
        assertThrows(IllegalArgumentException.class, () -> InputSource.parse(label)).getMessage();
    assertTrue(message.contains(expected), message);
  }

  @Test
  void rankAboveTheHeadWidthIsRefused() {
    assertThrows(
        IllegalArgumentException.class, () -> InputSource.parse("low_rank:rank=65").load(SHAPE, 1));
  }

  /// With n = 1024 ≫ r the Gram matrices of the coefficients are within √(r/n) of a multiple of the
  /// identity: normalised singular values within 25 % of 1/r lose less than 6 % of the rank.
  @ParameterizedTest
  @ValueSource(ints = {1, 4, 16})
  void lowRankInputHasThatEffectiveRank(int rank) throws IOException {
    Double effective = rows("low_rank:rank=" + rank, Mask.none()).effectiveRank();
    assertNotNull(effective);
    assertTrue(effective <= rank + 1e-3 && effective > 0.94 * rank, "rank " + effective);
  }

  @Test
  void gaussianInputHasNearlyTheRankOfItsWidth() throws IOException {
    Double effective = rows("gaussian", Mask.none()).effectiveRank();
    assertNotNull(effective);
    assertTrue(effective > 0.85 * 64 && effective <= 64, "rank " + effective);
  }

  @Test
  void equalScoresHaveNoRank() {
    Tensor zero = Tensor.zeros(1, 1, 16, 4);
    AttentionShape shape = AttentionShape.of(1, 1, 16, 4);
    assertNull(
        AttentionRows.of(new ExactTarget(shape, Mask.none(), zero, zero, zero, 0.5))
            .effectiveRank());
  }

  /// A row spreads over its own cluster, a sixteenth of the keys: its entropy lies ln 16 below the
  /// uniform. Scores of other clusters leak about 2 % of the mass (exp(7.3)/16 against exp(1/2)),
  /// those within vary by 0.4 and cluster sizes by 12 %: together less than 0.5 nats.
  @Test
  void clusteredRowsSpreadOverTheirCluster() throws IOException {
    AttentionRows rows = rows("clustered:clusters=16", Mask.none());
    assertEquals(Math.log(16), rows.uniformEntropy() - rows.entropy(), 0.5);
  }

  /// P(|t₃| > 4 √3) = 0.00617; of 131,072 elements 809 with standard deviation 28. A normal element
  /// passes with 6e-5.
  @Test
  void heavyTailedElementsExceedFourDeviationsAsTheirLawSays() throws IOException {
    Tensors t = InputSource.parse("heavy_tailed:dof=3").load(SHAPE, 3);
    int beyond = 0;
    for (float element : t.get("q").data()) {
      beyond += Math.abs(element) > 4 ? 1 : 0;
    }
    assertEquals(809, beyond, 5 * 28);
  }

  /// The sum over 1024 log-normal scores fluctuates by 4 %, the norms of queries move its mean by
  /// exp(±0.09): the share 0.9 moves by less than 0.02, as a mean over rows by far less.
  @Test
  void needleTakesItsShareOfEveryRowFromFarAway() throws IOException {
    assertEquals(0.9, mass("needle:depth=0.25,mass=0.9", Mask.none(), 256, 257), 0.02);
    assertTrue(rows("needle:mass=0.9", Mask.none()).topMass().get(8) > 0.88);
    double last = mass("needle:depth=0.25,mass=0.9", Mask.causal(), 256, 257);
    assertTrue(last > 0.6, "rows after the needle, three quarters of all: " + last);
  }

  @Test
  void sinksTakeTheirShareTogether() throws IOException {
    assertEquals(0.5, mass("sinks:count=4,mass=0.5", Mask.none(), 0, 4), 0.03);
    Tensors t = InputSource.parse("sinks:count=2,value=0").load(SHAPE, 3);
    assertEquals(0, t.get("v").data()[127], 0f);
    assertTrue(t.get("v").data()[128] != 0);
  }

  private static AttentionRows rows(String label, Mask mask) throws IOException {
    Tensors t = InputSource.parse(label).load(SHAPE, 3);
    return AttentionRows.of(
        new ExactTarget(SHAPE, mask, t.get("q"), t.get("k"), t.get("v"), 0.125));
  }

  /// Mean weight on keys from..to−1: the output for values that are one there.
  private static double mass(String label, Mask mask, int from, int to) throws IOException {
    Tensors t = InputSource.parse(label).load(SHAPE, 3);
    Tensor there = Tensor.zeros(1, 2, N, 64);
    for (int h = 0; h < 2; h++) {
      Arrays.fill(there.data(), (h * N + from) * 64, (h * N + to) * 64, 1);
    }
    Tensor out =
        ErrorStudy.exact(new ExactTarget(SHAPE, mask, t.get("q"), t.get("k"), there, 0.125), 2);
    double sum = 0;
    for (float element : out.data()) {
      sum += element;
    }
    return sum / out.size();
  }
}
