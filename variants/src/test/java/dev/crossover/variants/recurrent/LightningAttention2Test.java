// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.testing.Forward;
import dev.crossover.attention.testing.GoldenTests;
import dev.crossover.attention.testing.Inputs;
import dev.crossover.attention.testing.Oracle;
import dev.crossover.attention.testing.Recurrence;
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class LightningAttention2Test extends RecurrentContract {
  @Override
  public Attention attention() {
    return new LightningAttention2();
  }

  @Override
  Recurrence recurrence(Attention attention, AttentionShape s, Tensors inputs) {
    return new Recurrence(
        1,
        (row, _) -> -inputs.get("slopes").data()[row / s.querySeqLen() % s.numHeads()],
        true,
        (_, _) -> 1,
        false);
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(LightningAttention2.class);
  }

  /// Powers of two are geometric; in between, every other entry of the next power's list follows.
  @Test
  void slopesAreTheReleasedOnes() {
    assertArrayEquals(
        new float[] {0.5f, 0.25f, 0.125f, 0.0625f, 0x1p-5f, 0x1p-6f, 0x1p-7f, 0x1p-8f},
        LightningAttention2.slopes(8).data());
    assertArrayEquals(
        new float[] {0x1p-4f, 0x1p-8f, 0x1p-2f}, LightningAttention2.slopes(3).data());
    assertArrayEquals(
        new float[] {0x1p-2f, 0x1p-4f, 0x1p-6f, 0x1p-8f, 0x1p-1f, 0x1p-3f},
        LightningAttention2.slopes(6).data());
    var linear = new LightningAttention2(LightningAttention2.SlopeSchedule.LINEAR);
    Tensor drawn = linear.inputs(AttentionShape.of(1, 4, 3, 2)).get(3).drawn(1);
    assertArrayEquals(new float[] {0, 2, 4, 6}, drawn.data());
  }

  @Test
  void slopeZeroIsLinearAttentionAndSteepSlopesSeeThemselvesOnly() {
    AttentionShape shape = AttentionShape.of(1, 2, 100, 6);
    Tensors inputs = Inputs.of(attention(), shape, 5);
    for (double slope : new double[] {0, 200}) {
      double[] expected =
          Oracle.summed(
              shape,
              Mask.causal(),
              inputs.get("v"),
              (b, h, i, j) ->
                  (slope == 0 || i == j ? 1 : 0)
                      * Oracle.dot(shape, inputs.get("q"), inputs.get("k"), b, h, i, j));
      Tensors with = inputs.with("slopes", Draws.constant(slope, 2));
      requireClose(expected, Forward.of(attention(), Mask.causal(), with), "slope " + slope);
    }
  }

  @Test
  void equalsRetentionWithTheExponentialOfTheSlope() {
    AttentionShape shape = AttentionShape.of(1, 4, 130, 8);
    Tensors inputs = Inputs.of(attention(), shape, 6);
    RetNet retention =
        new RetNet(OptionalDouble.of(1), RetNet.Rotary.NONE, RetNet.Normalisation.NONE, 1e-6);
    Tensor slopes = LightningAttention2.slopes(4);
    Tensor decay = Tensor.zeros(4);
    for (int h = 0; h < 4; h++) {
      decay.data()[h] = (float) Math.exp(-slopes.data()[h]);
    }
    requireClose(
        Forward.of(retention, Mask.causal(), inputs.with("decay", decay)),
        Forward.of(attention(), Mask.causal(), inputs),
        "out");
  }

  /// The sum of a geometric series: what has faded does not come back as rounding.
  @Test
  void millionEqualTokensReachTheirLimit() {
    int n = 1 << 20;
    AttentionShape shape = AttentionShape.of(1, 1, n, 2);
    Tensor x = Draws.constant(0.5, 1, 1, n, 2);
    Tensor out = Forward.of(attention(), Mask.causal(), Tensors.qkv(x, x, x));
    double limit = 0.5 * 0.5 / (1 - Math.exp(-0x1p-8));
    assertEquals(limit, out.data()[2 * n - 1], 1e-5 * limit);
    assertEquals(out.data()[n], out.data()[2 * n - 2], 1e-6 * limit, shape.toString());
  }
}
