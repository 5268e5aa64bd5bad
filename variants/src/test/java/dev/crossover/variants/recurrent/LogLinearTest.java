// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.RandomCases;
import dev.crossover.attention.testing.RandomGradients;
import java.util.List;
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LogLinearTest extends AttentionContract {
  private static LogLinear chunks(int length) {
    return new LogLinear(1, OptionalInt.of(12), OptionalInt.of(length));
  }

  @Override
  public Attention attention() {
    return chunks(4);
  }

  @Override
  public List<Attention> instances() {
    return List.of(chunks(4), new LogLinear());
  }

  @Override
  public int[] blockBorders() {
    return new int[] {4, 8, 32, 64};
  }

  @Override
  public List<String> readAtPadding() {
    return List.of("log_decay");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) -> expected((LogLinear) attention, shape, mask, inputs);
  }

  private static double[] expected(
      LogLinear attention, AttentionShape s, Mask mask, Tensors inputs) {
    int n = s.keySeqLen();
    float[] scales = inputs.get("level_scales").data();
    int levels = inputs.get("level_scales").extent(3);
    double[] sums = new double[s.problems() * n];
    for (int row = 0; row < sums.length; row++) {
      sums[row] = inputs.get("log_decay").data()[row] + (row % n == 0 ? 0 : sums[row - 1]);
    }
    return Oracle.summed(
        s,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int head = (b * s.numHeads() + h) * n;
          int level = i == j ? 0 : Integer.SIZE - Integer.numberOfLeadingZeros(i ^ j);
          return attention.scale()
              * scales[(head + i) * levels + level]
              * Math.exp(sums[head + i] - sums[head + j])
              * Oracle.dot(s, inputs.get("q"), inputs.get("k"), b, h, i, j);
        });
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    OptionalInt length =
        r.of(OptionalInt.empty(), OptionalInt.of(1), OptionalInt.of(2), OptionalInt.of(16));
    LogLinear drawn = new LogLinear(r.of(1.0, 0.3), OptionalInt.of(12), length);
    float factor = r.of(0f, 1f, 20f, 300f);
    return r.problem(drawn)
        .changed(inputs -> RecurrentContract.scaled(inputs, "log_decay", factor));
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.check(60, 1, LogLinearTest::drawn, reference());
  }

  @Test
  void randomGradientsAgreeWithDifferences() {
    RandomGradients.check(40, 2, 5e-5, LogLinearTest::drawn, reference());
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(LogLinear.class);
  }

  @Test
  void scalesOfOneAreMamba2AtHeadLevel() {
    AttentionShape shape = AttentionShape.of(1, 2, 200, 8).withValueDim(5);
    Tensors inputs = Inputs.of(new Mamba2Ssd(), shape, 5);
    Tensor expected = Forward.of(new Mamba2Ssd(), Mask.causal(), inputs);
    for (int length : new int[] {1, 8, 64, 256}) {
      Tensors scaled = inputs.with("level_scales", Draws.constant(1, 1, 2, 200, 12));
      Tensor out = Forward.of(chunks(length), Mask.causal(), scaled);
      RecurrentContract.requireClose(expected, out, "chunk " + length);
    }
  }

  /// Scales that are 0 above level 3 leave the blocks of 8 aligned tokens.
  @Test
  void scalesOfZeroAboveALevelLeaveAlignedBlocks() {
    AttentionShape shape = AttentionShape.of(1, 1, 70, 4);
    Tensors inputs = Inputs.of(chunks(4), shape, 6);
    Tensor scales = inputs.get("level_scales").copy();
    for (int e = 0; e < scales.size(); e++) {
      scales.data()[e] = e % 12 > 3 ? 0 : scales.data()[e];
    }
    Tensor other = inputs.get("v").copy();
    for (int e = 0; e < 40 * 4; e++) {
      other.data()[e] += 1;
    }
    Tensors blocks = inputs.with("level_scales", scales);
    Tensor out = Forward.of(chunks(4), Mask.causal(), blocks);
    Tensor changed = Forward.of(chunks(4), Mask.causal(), blocks.with("v", other));
    for (int e = 0; e < out.size(); e++) {
      assertEquals(e >= 40 * 4, out.data()[e] == changed.data()[e], "row " + e / 4);
    }
  }

  @Test
  void sessionsCountTheStatesHeldAtOnce() {
    AttentionShape shape = AttentionShape.of(1, 2, 1000, 4);
    DecodeSession session = chunks(4).decode(shape);
    assertEquals(0, session.stateBytes());
    session.prefill(Inputs.of(chunks(4), shape.withSeqLens(600, 600), 3));
    int held = Integer.bitCount(511) + 1;
    assertEquals(2 * (held * (4 * 4 * 4 + 8) + 8), session.stateBytes());
  }

  @Test
  void scratchGrowsWithTheLogarithmOfTheLength() {
    long thousand = chunks(64).cost(shape(1024), Mask.causal(), 2).scratchBytes();
    long twice = chunks(64).cost(shape(2048), Mask.causal(), 2).scratchBytes();
    assertEquals(2 * (8 * 8 * 4 + 4), twice - thousand);
  }

  @Test
  void wrongLevelsAndChunksAreRefusedByName() {
    for (OptionalInt length : List.of(OptionalInt.of(12), OptionalInt.of(0), OptionalInt.of(-4))) {
      var error =
          assertThrows(
              IllegalArgumentException.class, () -> new LogLinear(1, OptionalInt.empty(), length));
      assertTrue(error.getMessage().contains("chunk_length"), error.getMessage());
    }
    LogLinear four = new LogLinear(1, OptionalInt.of(4), OptionalInt.empty());
    four.plan(shape(8), Mask.causal(), 1);
    var error =
        assertThrows(IllegalArgumentException.class, () -> four.plan(shape(9), Mask.causal(), 1));
    assertTrue(error.getMessage().contains("levels must be >= 5"), error.getMessage());
    assertThrows(
        IllegalArgumentException.class,
        () -> new LogLinear(Double.NaN, OptionalInt.empty(), OptionalInt.empty()));
    assertThrows(
        IllegalArgumentException.class,
        () -> new LogLinear(1, OptionalInt.of(0), OptionalInt.empty()));
  }
}
