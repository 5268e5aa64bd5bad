// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.score;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.ScoreOptions;
import dev.crossover.attention.exact.ScoreOptions.Alibi;
import dev.crossover.attention.exact.Tiled;
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
import java.util.OptionalInt;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

class FoxTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Fox();
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(), windowed(5), new Fox(OptionalInt.empty(), OptionalDouble.empty(), 1e-6));
  }

  private static Fox windowed(int size) {
    return new Fox(OptionalInt.of(size), OptionalDouble.of(0.5));
  }

  @Override
  public Reference reference() {
    return FoxTest::expected;
  }

  private static double[] expected(
      Attention attention, AttentionShape s, Mask mask, Tensors inputs) {
    Fox fox = (Fox) attention;
    double scale = fox.scale().orElse(Attention.defaultScale(s));
    int offset = mask.causalOffset(s.querySeqLen(), s.keySeqLen());
    double[][] gates = new double[s.problems() * s.querySeqLen()][];
    return Oracle.softmax(
        s,
        mask,
        inputs.get("v"),
        (b, h, i, j) -> {
          int position = i + offset;
          if (position - j >= fox.windowSize().orElse(Integer.MAX_VALUE)) {
            return Double.NEGATIVE_INFINITY;
          }
          int row = (b * s.numHeads() + h) * s.querySeqLen() + i;
          if (gates[row] == null) {
            gates[row] = gatesUpTo(position, s, mask, inputs.get("log_decay"), b, h);
          }
          return scale * Oracle.dot(s, inputs.get("q"), inputs.get("k"), b, h, i, j)
              + gates[row][j];
        });
  }

  /// Sums of the logarithms of the gates after each key, up to a position.
  private static double[] gatesUpTo(
      int position, AttentionShape s, Mask mask, Tensor logDecay, int b, int h) {
    int nk = s.keySeqLen();
    double[] sums = new double[nk];
    for (int j = Math.min(position, nk - 1) - 1; j >= 0; j--) {
      double next = logDecay.data()[(b * s.numHeads() + h) * nk + j + 1];
      sums[j] = sums[j + 1] + (mask.isRealKey(b, j + 1) ? next : 0);
    }
    return sums;
  }

  @Test
  void randomProblemsAgreeWithTheDefinition() {
    RandomCases.checkThoroughly(60, 1, FoxTest::drawn, FoxTest::expected);
  }

  @Test
  void gradientsOfRandomProblemsAgreeWithDifferences() {
    RandomGradients.check(60, 2, tolerance(), FoxTest::drawn, FoxTest::expected);
  }

  private static RandomCases.Problem drawn(RandomCases r) {
    OptionalInt window = r.chance(2) ? OptionalInt.empty() : OptionalInt.of(r.from(1, 150));
    OptionalDouble scale = r.of(OptionalDouble.empty(), OptionalDouble.of(0.3));
    return r.problem(new Fox(window, scale, r.of(0.0, 1e-6)));
  }

  @TestFactory
  Stream<DynamicTest> goldenFiles() {
    return GoldenTests.of(Fox.class);
  }

  @Test
  void openGatesAreSoftmaxAttention() {
    AttentionShape shape = AttentionShape.of(2, 2, 300, 8);
    Tensors inputs = Inputs.of(attention(), shape, 3);
    Tensors open = inputs.with("log_decay", Tensor.zeros(2, 2, 300));
    double[] softmax = Oracle.softmax(new Tiled().exactTarget(shape, Mask.causal(), inputs));
    Tensor out = Forward.of(attention(), Mask.causal(), open);
    assertTrue(Forward.maxDifference(softmax, out) < 1e-5);
  }

  @Test
  void equalGatesAreLinearBiases() {
    AttentionShape shape = AttentionShape.of(1, 2, 300, 8);
    Tensors inputs = Inputs.of(attention(), shape, 4);
    Tensor gates = Draws.constant(-0.25, 1, 2, 300);
    ScoreOptions none = ScoreOptions.NONE;
    Tiled alibi =
        new Tiled(
            OptionalDouble.empty(),
            new ScoreOptions(
                none.qkNorm(),
                none.qkNormEps(),
                none.rope(),
                none.ropeBase(),
                none.ropeDim(),
                none.ropeOffset(),
                none.ropeConcentration(),
                none.logitSoftcap(),
                Alibi.GIVEN,
                none.alibiForm(),
                none.windowSize(),
                none.sinkTokens(),
                none.sinkPositions(),
                none.sinkLogit(),
                none.outputGate(),
                none.gatePerHead()));
    Tensors qkv = Tensors.qkv(inputs.get("q"), inputs.get("k"), inputs.get("v"));
    Tensor expected =
        Forward.of(alibi, Mask.causal(), qkv.with("alibi_slopes", Draws.constant(0.25, 2)));
    Tensor out = Forward.of(attention(), Mask.causal(), inputs.with("log_decay", gates));
    assertTrue(Forward.maxDifference(expected, out) < 1e-5);
  }

  @Test
  void aClosedGateHidesEverythingBefore() {
    AttentionShape shape = AttentionShape.of(1, 1, 90, 8);
    Tensors inputs = Inputs.of(attention(), shape, 5);
    Tensor gates = inputs.get("log_decay").copy();
    gates.data()[20] = Float.NEGATIVE_INFINITY;
    gates.data()[70] = Float.NEGATIVE_INFINITY;
    Tensor out = Forward.of(attention(), Mask.causal(), inputs.with("log_decay", gates));
    for (int[] part : new int[][] {{0, 20}, {20, 70}, {70, 90}}) {
      int n = part[1] - part[0];
      Tensors own = Tensors.NONE;
      for (String name : List.of("q", "k", "v")) {
        own =
            own.with(
                name,
                Inputs.block(
                    inputs.get(name), new int[] {0, 0, part[0], 0}, new int[] {1, 1, n, 8}));
      }
      own =
          own.with(
              "log_decay",
              Inputs.block(
                  inputs.get("log_decay"), new int[] {0, 0, part[0]}, new int[] {1, 1, n}));
      Tensor alone = Forward.of(attention(), Mask.causal(), own);
      Tensor rows = Inputs.block(out, new int[] {0, 0, part[0], 0}, new int[] {1, 1, n, 8});
      assertTrue(Forward.maxDifference(alone, rows) < 1e-5, "from " + part[0]);
    }
  }

  /// Sums of gates beyond 10⁵: a difference of two float32 sums would be wrong in its second digit.
  @Test
  void longStrongDecaysLoseNoDigits() {
    AttentionShape shape = AttentionShape.of(1, 1, 1500, 4);
    Tensors inputs =
        Inputs.of(attention(), shape, 6).with("log_decay", Draws.uniform(7, -200, 0, 1, 1, 1500));
    double[] expected = expected(attention(), shape, Mask.causal(), inputs);
    assertTrue(
        Forward.maxDifference(expected, Forward.of(attention(), Mask.causal(), inputs)) < 2e-5);
  }

  @Test
  void aWindowCostsWhatItShows() {
    AttentionShape shape = AttentionShape.of(1, 1, 1000, 8);
    double pairs = 1 + 2 + 3 + 4 + 996 * 5;
    assertEquals(pairs, windowed(5).pairs(shape, Mask.causal()));
    assertTrue(
        windowed(5).cost(shape, Mask.causal(), 1).flops()
            < attention().cost(shape, Mask.causal(), 1).flops() / 50);
  }

  /// What is skipped is not read: values of NaN show it.
  @Test
  void forgottenKeysAreSkippedWhereThatIsAskedFor() {
    AttentionShape shape = AttentionShape.of(1, 1, 600, 4);
    Tensors inputs =
        Inputs.of(attention(), shape, 8).with("log_decay", Draws.constant(-1, 1, 1, 600));
    Tensor v = inputs.get("v").copy();
    v.data()[0] = Float.NaN;
    Fox pruning = new Fox(OptionalInt.empty(), OptionalDouble.empty(), 1e-4);
    Tensor pruned = Forward.of(pruning, Mask.causal(), inputs.with("v", v));
    Tensor whole = Forward.of(attention(), Mask.causal(), inputs);
    Tensor poisoned = Forward.of(attention(), Mask.causal(), inputs.with("v", v));
    assertTrue(Float.isNaN(pruned.data()[4]) && Float.isNaN(poisoned.data()[599 * 4]));
    for (int e = 200 * 4; e < 600 * 4; e++) {
      assertEquals(whole.data()[e], pruned.data()[e], 1e-4 * 8, "row " + e / 4);
    }
  }

  @Test
  void anEmptyWindowIsRefusedByName() {
    var error = assertThrows(IllegalArgumentException.class, () -> windowed(0));
    assertEquals("window_size must be >= 1, but was 0", error.getMessage());
    error =
        assertThrows(
            IllegalArgumentException.class,
            () -> new Fox(OptionalInt.empty(), OptionalDouble.empty(), 1));
    assertEquals("prune_tolerance must be >= 0 and < 1, but was 1.0", error.getMessage());
  }
}
