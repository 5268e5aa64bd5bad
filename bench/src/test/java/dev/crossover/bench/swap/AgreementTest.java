// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.swap;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.tensor.SafeTensors;
import java.nio.file.Path;
import java.util.Objects;
import org.junit.jupiter.api.Test;

/// Agreement of embeddings on small sets, and on the published table.
class AgreementTest {
  private static final double[][] CORNERS = {{1, 0}, {0.8, 0.6}, {0, 1}, {-1, 0}};

  @Test
  void equalEmbeddingsAgreeInEverything() {
    assertArrayEquals(new double[] {1, 1, 1, 1}, Agreement.cosines(CORNERS, CORNERS), 1e-15);
    assertEquals(1, Agreement.rank(CORNERS, CORNERS), 1e-15);
    assertEquals(1, Agreement.nearest(CORNERS, CORNERS));
  }

  /// The last text turns to the first side: its nearest changes from the third to the first, the
  /// others' stay (the second for the first and third, the first for the second).
  @Test
  void aTextThatMovesChangesItsNearest() {
    double[][] moved = {{1, 0}, {0.8, 0.6}, {0, 1}, {0.6, -0.8}};
    assertEquals(0.75, Agreement.nearest(CORNERS, moved));
    assertEquals(-0.6, Agreement.cosines(CORNERS, moved)[3], 1e-15);
  }

  /// Ranks 1, 2.5, 2.5, 4 beside 1, 3, 2, 4: by hand 4.5/√(4.5 · 5).
  @Test
  void tiesHaveAverageRanks() {
    double expected = 4.5 / Math.sqrt(4.5 * 5);
    assertEquals(
        expected, Agreement.spearman(new double[] {1, 2, 2, 9}, new double[] {0, 5, 4, 7}), 1e-12);
  }

  /// By hand: z = 1.58903, half width 1.95996 √(1.4232/25) = 0.46764.
  @Test
  void intervalFollowsBonettAndWright() {
    double[] ends = Agreement.interval(0.92, 28);
    assertEquals(0.8080, ends[0], 1e-4);
    assertEquals(0.9678, ends[1], 1e-4);
    assertTrue(Double.isNaN(Agreement.interval(0.5, 3)[0]));
  }

  /// Spearman's correlation between output error and 1 − cosine over the 28 settings that are no
  /// control, as published with the table: 0.92 of means, and by layer.
  @Test
  void publishedCorrelationsFollowFromThePublishedTable() throws Exception {
    SafeTensors table =
        SafeTensors.open(
            Path.of(
                Objects.requireNonNull(
                        AgreementTest.class.getResource("/golden/minilm__swap.safetensors"))
                    .toURI()));
    double[] cosines = table.doubles("cosine");
    double[] errors = table.doubles("error");
    int settings = 28;
    int texts = 64;
    int layers = 6;
    double[] cost = new double[settings];
    double[][] byLayer = new double[layers][settings];
    double[] mean = new double[settings];
    for (int s = 0; s < settings; s++) {
      for (int t = 0; t < texts; t++) {
        cost[s] += (1 - cosines[(s + 1) * texts + t]) / texts;
        for (int layer = 0; layer < layers; layer++) {
          double error = errors[((s + 1) * texts + t) * layers + layer];
          byLayer[layer][s] += error / texts;
          mean[s] += error / texts / layers;
        }
      }
    }
    assertEquals(0.92, Agreement.spearman(mean, cost), 0.005);
    double[] published = {0.703, 0.895, 0.922, 0.932, 0.922, 0.808};
    for (int layer = 0; layer < layers; layer++) {
      assertEquals(published[layer], Agreement.spearman(byLayer[layer], cost), 5.1e-4);
    }
  }

  /// A perfect order stays perfect in every draw; of independent orders the interval holds zero and
  /// is about 2·1.96/√n wide.
  @Test
  void bootstrapIntervalsHoldTheCorrelation() {
    double[] x = new double[60];
    double[] y = new double[60];
    for (int i = 0; i < x.length; i++) {
      x[i] = i;
      y[i] = i * 37 % 61;
    }
    assertArrayEquals(new double[] {1, 1}, Agreement.bootstrap(x, x, 1), 1e-12);
    double[] ends = Agreement.bootstrap(x, y, 1);
    double found = Agreement.spearman(x, y);
    assertTrue(ends[0] < found && found < ends[1], ends[0] + " to " + ends[1]);
    assertEquals(2 * 1.96 / Math.sqrt(60), ends[1] - ends[0], 0.2);
    assertArrayEquals(ends, Agreement.bootstrap(x, y, 1));
    assertTrue(Double.isNaN(Agreement.bootstrap(new double[3], new double[3], 1)[0]));
  }
}
