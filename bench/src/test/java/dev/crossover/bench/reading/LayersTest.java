// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.attention.tensor.TensorFileException;
import dev.crossover.attention.tensor.TensorFileWriter;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/// Rollout, flow, statistics of heads and effective weights, against values found by hand.
class LayersTest {
  @TempDir Path folder;

  @Test
  void rolloutOfTwoEqualLayersByHand() {
    double[][] a = {{1, 0}, {0.5, 0.5}};
    AttentionStack stack = new AttentionStack(List.of(new double[][][] {a}, new double[][][] {a}));
    assertMatrix(new double[][] {{1, 0}, {7.0 / 16, 9.0 / 16}}, Rollout.of(stack, true).get(1));
    assertMatrix(new double[][] {{1, 0}, {0.75, 0.25}}, Rollout.of(stack, false).get(1));
  }

  @Test
  void rowWithoutWeightsIsPassedOnByTheResidual() {
    AttentionStack stack =
        new AttentionStack(List.<double[][][]>of(new double[][][] {{{0.5, 0.5}, {0, 0}}}));
    assertMatrix(new double[][] {{0.75, 0.25}, {0, 1}}, Rollout.of(stack, true).getFirst());
  }

  @Test
  void oneRowOfRolloutIsThatOfAllRows() {
    AttentionStack stack = random(3, 2, 6);
    double[][] all = Rollout.of(stack, true).getLast();
    for (int i = 0; i < 6; i++) {
      assertArrayEquals(all[i], Rollout.row(stack, i, true), 1e-14);
      assertEquals(1, Arrays.stream(all[i]).sum(), 1e-12);
    }
  }

  /// From position 1 after two layers to input 0: 1/4 directly and then down the edge of weight 1,
  /// 3/4 · … through position 1, whose edge to input 0 lets 1/4 through.
  @Test
  void flowOfTwoEqualLayersByHand() {
    double[][] a = {{1, 0}, {0.5, 0.5}};
    AttentionStack stack = new AttentionStack(List.of(new double[][][] {a}, new double[][][] {a}));
    assertMatrix(new double[][] {{1, 0}, {0.25, 0.75}}, AttentionFlow.of(stack, 1));
    assertMatrix(new double[][] {{1, 0}, {0.5, 0.75}}, AttentionFlow.of(stack, 2));
    assertMatrix(
        new double[][] {{1, 0}, {0.4, 0.6}}, AttentionFlow.normalised(AttentionFlow.of(stack, 2)));
  }

  /// A maximum flow is at least what any unsplit path carries and at most every cut.
  @Test
  void flowLiesBetweenItsWidestPathAndItsCuts() {
    AttentionStack stack = random(2, 1, 5);
    double[][] first = Rollout.withResidual(stack, 0);
    double[][] second = Rollout.withResidual(stack, 1);
    double[][] flow = AttentionFlow.of(stack, 2);
    for (int i = 0; i < 5; i++) {
      for (int j = 0; j < 5; j++) {
        double through = 0;
        double into = 0;
        for (int k = 0; k < 5; k++) {
          through += Math.min(second[i][k], first[k][j]);
          into += first[k][j];
        }
        assertEquals(through, flow[i][j], 1e-12, "two layers: every middle node is a path");
        assertTrue(flow[i][j] <= Math.min(1, into) + 1e-12);
      }
    }
  }

  @Test
  void flowOfTooManyPositionsIsRefused() {
    AttentionStack stack = random(1, 1, 65);
    assertThrows(IllegalArgumentException.class, () -> AttentionFlow.of(stack, 1));
  }

  @Test
  void uniformHeadHasTheEntropyOfItsKeysAndKnownDistances() {
    double[][] uniform = new double[4][4];
    for (double[] row : uniform) {
      Arrays.fill(row, 0.25);
    }
    HeadStatistics s = HeadStatistics.of(uniform);
    assertEquals(Math.log(4), s.entropyExact(), 1e-12);
    assertEquals(Math.log(4), s.entropy(), 1e-12);
    assertEquals(1.25, s.meanDistance(), 1e-12, "20 / 16");
    assertEquals(3.0 / 16, s.toPrevious(), 1e-12, "three rows have one, four divide");
    assertEquals(0.25, s.toSelf(), 1e-12);
    assertEquals(0, HeadStatistics.divergence(uniform, uniform), 1e-12);
  }

  @Test
  void headsAreNamedByTheirThresholds() {
    double[][] previous = {{1, 0, 0}, {1, 0, 0}, {0, 1, 0}};
    assertEquals("previous token", HeadStatistics.of(previous).name());
    double[][] next = {{0, 1, 0}, {0, 0, 1}, {0, 0, 1}};
    assertEquals("next token", HeadStatistics.of(next).name());
  }

  /// The example of three tokens, every number as in the README.
  @Test
  void workedExampleByHand() {
    WorkedExample example = WorkedExample.ofThreeTokens(false);
    double ln2 = Math.log(2);
    assertMatrix(
        new double[][] {{0, ln2, 2 * ln2}, {2 * ln2, ln2, 0}, {ln2, ln2, ln2}}, example.scores());
    double s = 1.0 / 7;
    double t = 1.0 / 3;
    assertMatrix(
        new double[][] {{s, 2 * s, 4 * s}, {4 * s, 2 * s, s}, {t, t, t}}, example.weights());
    assertMatrix(new double[][] {{27, 18}, {18, 9}, {21, 14}}, example.out());
    assertMatrix(
        new double[][] {
          {s, 2 * s, 4 * s}, {1.0 / 7, 1.0 / 14, 5.0 / 14}, {1.0 / 9, 2.0 / 9, 4.0 / 9}
        },
        example.effective());
    HeadStatistics statistics = HeadStatistics.of(example.weights());
    double row = Math.log(7) - 10.0 / 7 * ln2;
    assertEquals((2 * row + Math.log(3)) / 3, statistics.entropyExact(), 1e-12);
    assertEquals(22.0 / 21, statistics.meanDistance(), 1e-12);
  }

  @Test
  void workedCausalExampleByHand() {
    WorkedExample example = WorkedExample.ofThreeTokens(true);
    double t = 1.0 / 3;
    assertMatrix(new double[][] {{1, 0, 0}, {2 * t, t, 0}, {t, t, t}}, example.weights());
    assertMatrix(new double[][] {{21, 0}, {14, 7}, {21, 14}}, example.out());
    assertArrayEquals(new double[] {t, -t, t}, example.effective()[0], 1e-12);
  }

  @Test
  void effectiveWeightsGiveTheSameOutputsAndAreTheirOwn() {
    double[][] weights = Rollout.withResidual(random(1, 1, 7), 0);
    double[][] values = new double[7][3];
    float[] draws = Draws.gaussian(3, 7, 3).data();
    for (int i = 0; i < 21; i++) {
      values[i / 3][i % 3] = draws[i];
    }
    double[][] effective = EffectiveAttention.of(weights, values);
    double[][] out = WorkedExample.mixed(weights, values);
    assertMatrix(out, WorkedExample.mixed(effective, values));
    assertMatrix(effective, EffectiveAttention.of(effective, values));
    assertTrue(Math.abs(effective[0][0] - weights[0][0]) > 1e-6, "seven tokens, three columns");
  }

  @Test
  void stackIsReadFromOneTensorOrOneALayer() throws IOException {
    Tensor all = Draws.uniform(9, 0, 1, 3, 2, 4, 4);
    TensorFileWriter writer = new TensorFileWriter().add("attn", all);
    for (int l = 0; l < 3; l++) {
      float[] part = Arrays.copyOfRange(all.data(), l * 32, (l + 1) * 32);
      writer.add("layers." + l + ".attn", Tensor.of(part, 1, 2, 4, 4));
    }
    Path file = folder.resolve("attn.safetensors");
    writer.writeSafeTensors(file);
    AttentionStack one = AttentionStack.read(file, "attn");
    AttentionStack each = AttentionStack.read(file, "layers.{layer}.attn");
    assertEquals(3, one.depth());
    assertEquals(3, each.depth());
    for (int l = 0; l < 3; l++) {
      assertEquals(2, each.heads(l));
      for (int h = 0; h < 2; h++) {
        assertMatrix(one.head(l, h), each.head(l, h));
      }
    }
    assertEquals(all.data()[32], one.head(1, 0)[0][0]);
    assertThrows(TensorFileException.class, () -> AttentionStack.read(file, "layer.{layer}"));
    assertThrows(TensorFileException.class, () -> AttentionStack.read(file, "attention"));
  }

  private static AttentionStack random(int layers, int heads, int n) {
    List<double[][][]> all = new ArrayList<>();
    for (int l = 0; l < layers; l++) {
      float[] draws = Draws.uniform(l + 1, 0, 1, heads, n, n).data();
      double[] values = new double[draws.length];
      for (int row = 0; row < heads * n; row++) {
        double sum = 0;
        for (int j = 0; j < n; j++) {
          sum += draws[row * n + j];
        }
        for (int j = 0; j < n; j++) {
          values[row * n + j] = draws[row * n + j] / sum;
        }
      }
      all.add(AttentionStack.matrices(values, 0, heads, n, n));
    }
    return new AttentionStack(all);
  }

  private static void assertMatrix(double[][] expected, double[][] actual) {
    assertEquals(expected.length, actual.length);
    for (int i = 0; i < expected.length; i++) {
      assertArrayEquals(expected[i], actual[i], 1e-12, "row " + i);
    }
  }
}
