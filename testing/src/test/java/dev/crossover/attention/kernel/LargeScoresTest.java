// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Scratch;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The fused softmax where one unit in the last place of a score is more than any exponent holds:
/// the row's output is the value of its largest score, or the mean of equal ones, and never
/// infinite or empty.
class LargeScoresTest {
  private static final int DIM = 64;
  private static final int ROWS = 30;
  private static final int KEYS = 700;

  /// Rows of random queries and keys; where the largest score leads by more than the rounding of
  /// all sums, [#DIM] units in the last place of the largest sum of magnitudes, its value is the
  /// output.
  @ParameterizedTest
  @ValueSource(doubles = {1, 1e3, 1e4, 1e5, 1e6, 1e8, 1e12, 1e18, 1e28, 1e34})
  void largestScoreTakesTheRow(double factor) {
    Random random = new Random(7);
    float[] q = gaussians(random, ROWS * DIM, factor);
    float[] k = gaussians(random, KEYS * DIM, 1);
    float[] v = gaussians(random, KEYS * DIM, 1);
    for (int chunk : new int[] {KEYS, 256, 100, 17}) {
      float[] out = attend(q, k, v, chunk, null);
      int decided = 0;
      for (int r = 0; r < ROWS; r++) {
        int best = largest(q, k, r, 1e-6 * factor * DIM + 40);
        for (int c = 0; c < DIM; c++) {
          float value = out[r * DIM + c];
          assertTrue(Math.abs(value) < 10, "row " + r + " is a mean of values: " + value);
          if (best >= 0) {
            assertEquals(v[best * DIM + c], value, 1e-5, "row " + r);
          }
        }
        decided += best >= 0 ? 1 : 0;
      }
      assertTrue(factor < 1e3 || decided > ROWS / 2, "decided " + decided);
    }
  }

  /// Scores that grow from tile to tile, so that every tile raises the reference, and that fall.
  @ParameterizedTest
  @ValueSource(booleans = {true, false})
  void referenceMayRiseOrStayBehind(boolean rising) {
    float[] q = new float[ROWS * DIM];
    float[] k = new float[KEYS * DIM];
    float[] v = new float[KEYS * DIM];
    for (int r = 0; r < ROWS; r++) {
      q[r * DIM + r] = 1e8f * (1 + r);
    }
    for (int j = 0; j < KEYS; j++) {
      java.util.Arrays.fill(k, j * DIM, j * DIM + DIM, rising ? j - 350 : 350 - j);
      java.util.Arrays.fill(v, j * DIM, j * DIM + DIM, j);
    }
    float[] out = attend(q, k, v, 128, null);
    for (float value : out) {
      assertEquals(rising ? KEYS - 1 : 0, value);
    }
  }

  /// Equal keys have equal scores, whatever they are.
  @ParameterizedTest
  @ValueSource(floats = {1e6f, 1.8e9f, 1e20f, 1e35f})
  void equalScoresShareTheRow(float score) {
    Random random = new Random(3);
    float[] key = gaussians(random, DIM, 1);
    float[] q = new float[ROWS * DIM];
    float[] k = new float[KEYS * DIM];
    float[] v = new float[KEYS * DIM];
    for (int i = 0; i < ROWS * DIM; i++) {
      q[i] = score / DIM * key[i % DIM];
    }
    for (int i = 0; i < KEYS * DIM; i++) {
      k[i] = key[i % DIM];
      v[i] = i / DIM % 2 == 0 ? 3 : 1;
    }
    for (float value : attend(q, k, v, 64, null)) {
      assertEquals(2, value, 1e-4);
    }
  }

  @Test
  void largeBiasesAreScoresLikeOthers() {
    Random random = new Random(5);
    float[] q = gaussians(random, ROWS * DIM, 1);
    float[] k = gaussians(random, KEYS * DIM, 1);
    float[] v = gaussians(random, KEYS * DIM, 1);
    float[] bias = new float[ROWS * KEYS];
    for (int i = 0; i < bias.length; i++) {
      bias[i] = i % KEYS == 513 ? 3e9f : -3e9f * (i % 5);
    }
    float[] out = attend(q, k, v, 256, bias);
    for (int i = 0; i < out.length; i++) {
      assertEquals(v[513 * DIM + i % DIM], out[i], 1e-5);
    }
  }

  private static float[] attend(float[] q, float[] k, float[] v, int chunk, float[] bias) {
    Scratch scratch = new Scratch();
    SoftmaxTile tile = new SoftmaxTile(scratch, ROWS, DIM, DIM);
    KeyPanels panels = new KeyPanels(scratch, KEYS, DIM);
    panels.pack(k, 0, DIM, KEYS, 0);
    tile.begin(q, 0, DIM, ROWS, 1);
    for (int from = 0; from < KEYS; from += chunk) {
      int to = Math.min(KEYS, from + chunk);
      if (bias == null) {
        tile.attend(panels, v, 0, DIM, from, to);
      } else {
        tile.attendBiased(panels, v, 0, DIM, from, to, bias, from, KEYS);
      }
    }
    float[] out = new float[ROWS * DIM];
    tile.finish(out, 0, DIM);
    return out;
  }

  /// The key of a row's largest score, or -1 where another comes nearer than `lead`.
  private static int largest(float[] q, float[] k, int r, double lead) {
    double best = Double.NEGATIVE_INFINITY;
    double next = Double.NEGATIVE_INFINITY;
    int at = -1;
    for (int j = 0; j < KEYS; j++) {
      double score = 0;
      for (int c = 0; c < DIM; c++) {
        score += (double) q[r * DIM + c] * k[j * DIM + c];
      }
      if (score > best) {
        next = best;
        best = score;
        at = j;
      } else {
        next = Math.max(next, score);
      }
    }
    return best - next > lead ? at : -1;
  }

  private static float[] gaussians(Random random, int n, double factor) {
    float[] x = new float[n];
    for (int i = 0; i < n; i++) {
      x[i] = (float) (factor * random.nextGaussian());
    }
    return x;
  }
}
