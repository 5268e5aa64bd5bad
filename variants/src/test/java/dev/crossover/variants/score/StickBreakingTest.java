// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
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
import java.util.OptionalDouble;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class StickBreakingTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new StickBreaking();
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new StickBreaking(true, false, OptionalDouble.of(0.5)),
        new StickBreaking(false, true, OptionalDouble.empty()));
  }

  @Override
  public Reference reference() {
    return (attention, s, mask, inputs) ->
        walked((StickBreaking) attention, s, mask, inputs, false);
  }

  /// A stick in double precision, broken key by key; outputs, or what is left.
  private static double[] walked(
      StickBreaking sticks, AttentionShape s, Mask mask, Tensors inputs, boolean remainders) {
    int dv = s.valueDim();
    int rows = s.problems() * s.querySeqLen();
    double[] out = new double[rows * dv];
    double[] left = new double[rows];
    double scale = sticks.scale().orElse(Attention.defaultScale(s));
    float[] v = inputs.get("v").data();
    for (int row = 0; row < rows; row++) {
      int i = row % s.querySeqLen();
      int h = row / s.querySeqLen() % s.numHeads();
      int b = row / s.querySeqLen() / s.numHeads();
      int own = i + mask.causalOffset(s.querySeqLen(), s.keySeqLen());
      double stick = 1;
      for (int j = s.keySeqLen() - 1; j >= 0; j--) {
        boolean allowed = sticks.attendCurrent() ? j <= own : j < own;
        if (allowed && mask.isRealKey(b, j)) {
          double score = scale * Oracle.dot(s, inputs.get("q"), inputs.get("k"), b, h, i, j);
          double weight = stick / (1 + Math.exp(-score));
          stick /= 1 + Math.exp(score);
          add(out, row * dv, weight, v, s.valueOffset(b, h) + j * dv, dv);
        }
      }
      boolean exists = own >= 0 && own < s.keySeqLen() && mask.isRealKey(b, own);
      if (sticks.remainderToCurrent() && exists) {
        add(out, row * dv, stick, v, s.valueOffset(b, h) + own * dv, dv);
      }
      left[row] = stick;
    }
    return remainders ? left : out;
  }

  private static void add(double[] out, int at, double weight, float[] v, int vo, int dv) {
    for (int c = 0; c < dv; c++) {
      out[at + c] += weight * v[vo + c];
    }
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.checkThoroughly(60, 1, StickBreakingTest::drawn, reference());
  }

  @Test
  void gradientsOfRandomProblemsAgreeWithDifferences() {
    RandomGradients.check(60, 2, tolerance(), StickBreakingTest::drawn, reference());
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(0.3));
    return r.problem(new StickBreaking(r.chance(2), r.chance(2), scale));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(StickBreaking.class);
  }

  @Test
  void scoresOfZeroHalveTheStick() {
    Tensors inputs =
        Tensors.qkv(
            Tensor.zeros(1, 1, 9, 4), Draws.gaussian(1, 1, 1, 9, 4), Draws.constant(1, 1, 1, 9, 4));
    Tensor out = Forward.of(attention(), Mask.causal(), inputs);
    for (int i = 0; i < 9; i++) {
      assertEquals(1 - Math.pow(2, -i), out.data()[i * 4], 1e-6);
    }
  }

  @Test
  void aLargeScoreTakesTheWholeStick() {
    AttentionShape shape = AttentionShape.of(1, 1, 200, 4);
    Tensors inputs =
        Inputs.of(attention(), shape, 2)
            .with("q", Draws.constant(40, 1, 1, 200, 4))
            .with("k", Draws.constant(40, 1, 1, 200, 4));
    Tensor out = Forward.of(attention(), Mask.causal(), inputs);
    for (int e = 4; e < out.size(); e++) {
      assertEquals(inputs.get("v").data()[e - 4], out.data()[e], 1e-6);
    }
  }

  /// Beyond a thousand keys each of which takes about half: what is skipped has weights below
  /// 2^−150. Each key's logarithm is right to 1e-6, and so is their sum.
  @Test
  void whatIsLeftIsTheProductOverAllKeys() {
    AttentionShape shape = AttentionShape.of(1, 2, 1100, 8);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    Tensor out = Tensor.zeros(1, 2, 1100, 8);
    Tensor left = Tensor.zeros(1, 2, 1100);
    StickBreaking sticks = new StickBreaking();
    sticks.plan(shape, Mask.causal(), 2).forward(inputs, out, Tensors.NONE.with("remainder", left));
    double[] expected = walked(sticks, shape, Mask.causal(), inputs, true);
    for (int row = 0; row < expected.length; row++) {
      double relative = 1e-7 - 1e-6 * Math.log(Math.max(expected[row], 1e-300));
      assertEquals(expected[row], left.data()[row], relative * expected[row] + 1e-37);
    }
    assertEquals(1, left.data()[0]);
    assertTrue(expected[1099] < 1e-100 && left.data()[1099] == 0);
    assertTrue(
        Forward.maxDifference(walked(sticks, shape, Mask.causal(), inputs, false), out) < 2e-5);
  }

  @Test
  void theRemainderGoesToTheOwnValueWhereItIsReal() {
    AttentionShape shape = AttentionShape.of(1, 1, 6, 4);
    Tensors inputs = Inputs.of(attention(), shape, 4);
    StickBreaking sticks = new StickBreaking(false, true, OptionalDouble.empty());
    Mask mask =
        Mask.both(Mask.causal(), Mask.keys(6, new boolean[] {true, false, true, true, true, true}));
    Tensor out = Forward.of(sticks, mask, inputs);
    double[] rest = walked(new StickBreaking(), shape, mask, inputs, true);
    double[] without = walked(new StickBreaking(), shape, mask, inputs, false);
    for (int e = 0; e < 24; e++) {
      double own = e / 4 == 1 ? 0 : rest[e / 4] * inputs.get("v").data()[e];
      assertEquals(without[e] + own, out.data()[e], 1e-6, "row " + e / 4);
    }
  }
}
