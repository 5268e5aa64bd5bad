// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.testing.Tolerance;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/// The fused softmax of the selected kernels against a double-precision oracle.
class SoftmaxTileTest {

  /// One block of queries with everything a row may see.
  private static final class Case {
    final int rows;
    final int keys;
    final int dim;
    final int valueDim;
    final float scale;
    final float[] q;
    final float[] k;
    final float[] v;
    final int[] low;
    final int[] high;
    float[] bias = new float[0];

    Case(int rows, int keys, int dim, int valueDim, long seed) {
      Random random = new Random(seed);
      this.rows = rows;
      this.keys = keys;
      this.dim = dim;
      this.valueDim = valueDim;
      this.scale = (float) (1 / Math.sqrt(dim));
      q = gaussians(random, rows * dim);
      k = gaussians(random, keys * dim);
      v = gaussians(random, keys * valueDim);
      low = new int[rows];
      high = new int[rows];
      Arrays.fill(high, keys);
    }

    private static float[] gaussians(Random random, int n) {
      float[] x = new float[n];
      for (int i = 0; i < n; i++) {
        x[i] = (float) random.nextGaussian();
      }
      return x;
    }

    boolean sees(int r, int j) {
      return j >= low[r]
          && j < high[r]
          && (bias.length == 0 || bias[r * keys + j] != Float.NEGATIVE_INFINITY);
    }

    /// Runs the tile over `chunk` keys at a time and checks every row.
    void check(int chunk) {
      Scratch scratch = new Scratch();
      SoftmaxTile tile = new SoftmaxTile(scratch, rows, dim, valueDim);
      assertEquals(SoftmaxTile.bytes(rows, dim, valueDim), scratch.bytes());
      KeyPanels panels = new KeyPanels(scratch, keys, dim);
      assertEquals(
          SoftmaxTile.bytes(rows, dim, valueDim) + KeyPanels.bytes(keys, dim), scratch.bytes());
      panels.pack(k, 0, dim, keys, 0);
      boolean plain = bias.length == 0 && seeAll();
      tile.begin(q, 0, dim, rows, scale);
      for (int from = 0; from < keys; from += chunk) {
        int to = Math.min(keys, from + chunk);
        if (plain) {
          tile.attend(panels, v, 0, valueDim, from, to);
        } else if (bias.length == 0) {
          tile.attend(panels, v, 0, valueDim, from, to, low, 0, high, 0);
        } else {
          tile.attendBiased(panels, v, 0, valueDim, from, to, low, 0, high, 0, bias, from, keys);
        }
      }
      float[] out = new float[rows * valueDim];
      float[] lse = new float[rows];
      tile.finish(out, 0, valueDim, lse, 0);
      for (int r = 0; r < rows; r++) {
        checkRow(r, out, lse[r]);
      }
    }

    private boolean seeAll() {
      for (int r = 0; r < rows; r++) {
        if (low[r] > 0 || high[r] < keys) {
          return false;
        }
      }
      return true;
    }

    private void checkRow(int r, float[] out, float lse) {
      double[] score = new double[keys];
      double max = Double.NEGATIVE_INFINITY;
      double scoreMagnitude = 0;
      for (int j = 0; j < keys; j++) {
        if (!sees(r, j)) {
          continue;
        }
        double magnitude = 0;
        for (int c = 0; c < dim; c++) {
          double product = (double) q[r * dim + c] * k[j * dim + c] * scale;
          score[j] += product;
          magnitude += Math.abs(product);
        }
        if (bias.length > 0) {
          score[j] += bias[r * keys + j];
          magnitude += Math.abs(bias[r * keys + j]);
        }
        max = Double.isNaN(score[j]) ? Double.NaN : Math.max(max, score[j]);
        scoreMagnitude = Math.max(scoreMagnitude, magnitude);
      }
      double sum = 0;
      for (int j = 0; j < keys; j++) {
        score[j] = sees(r, j) ? Math.exp(score[j] - max) : 0;
        sum += score[j];
      }
      if (max == Double.NEGATIVE_INFINITY) {
        assertEquals(Float.NEGATIVE_INFINITY, lse);
      } else {
        double expected = max + Math.log(sum);
        double bound = Tolerance.ofLogSumExp(dim, keys, scoreMagnitude, expected);
        assertWithin(expected, lse, bound, "lse of row " + r);
      }
      for (int c = 0; c < valueDim; c++) {
        double expected = 0;
        double magnitude = 0;
        for (int j = 0; j < keys; j++) {
          if (sees(r, j)) {
            expected += score[j] / sum * v[j * valueDim + c];
            magnitude += score[j] / sum * Math.abs(v[j * valueDim + c]);
          }
        }
        double bound = Tolerance.ofAttention(dim, keys, scoreMagnitude, magnitude);
        assertWithin(expected, out[r * valueDim + c], bound, "out[" + r + "," + c + "]");
      }
    }
  }

  @ParameterizedTest
  @ValueSource(
      ints = {1, 2, 3, 5, 7, 8, 15, 16, 17, 31, 32, 33, 48, 64, 80, 96, 128, 200, 256, 512})
  void everyWidthAgreesWithTheOracle(int dim) {
    new Case(13, 70, dim, dim, dim).check(70);
    new Case(5, 33, dim, 3, dim).check(33);
    new Case(5, 33, 3, dim, dim).check(33);
  }

  @Test
  void everyNumberOfRowsAndKeysAgreesWithTheOracle() {
    for (int rows = 1; rows <= 27; rows++) {
      new Case(rows, 40, 16, 16, rows).check(40);
    }
    for (int keys = 0; keys <= 70; keys++) {
      new Case(13, keys, 8, 8, keys).check(Math.max(1, keys));
    }
    for (int keys : new int[] {255, 256, 257, 511, 513, 800}) {
      new Case(14, keys, 16, 16, keys).check(keys);
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 7, 32, 100, 256, 300})
  void attendingInAnyChunksGivesTheSameAttention(int chunk) {
    new Case(14, 600, 16, 24, 4).check(chunk);
  }

  @ParameterizedTest
  @CsvSource({"0,1", "100,1", "-7,1", "300,2", "-600,1", "5,40"})
  void causalIntervalsAgreeWithTheOracle(int offset, int slope) {
    Case problem = new Case(30, 550, 16, 20, offset);
    for (int r = 0; r < problem.rows; r++) {
      problem.high[r] = slope * r + offset + 1;
    }
    problem.check(550);
    problem.check(64);
  }

  @Test
  void randomIntervalsEmptyOnesAmongThemAgreeWithTheOracle() {
    for (int seed = 0; seed < 60; seed++) {
      Random random = new Random(seed);
      Case problem = new Case(1 + random.nextInt(40), 1 + random.nextInt(700), 8, 8, seed);
      for (int r = 0; r < problem.rows; r++) {
        problem.low[r] = random.nextInt(-5, problem.keys + 5);
        problem.high[r] = random.nextInt(-5, problem.keys + 5);
      }
      problem.check(1 + random.nextInt(problem.keys));
    }
  }

  @Test
  void windowsAgreeWithTheOracle() {
    for (int radius : new int[] {0, 1, 20, 130}) {
      Case problem = new Case(192, 192 + 40, 16, 16, radius);
      for (int r = 0; r < problem.rows; r++) {
        problem.low[r] = 20 + r - radius;
        problem.high[r] = 20 + r + radius + 1;
      }
      problem.check(232);
    }
  }

  @Test
  void biasIsAddedAndMinusInfinityHides() {
    for (int seed = 0; seed < 20; seed++) {
      Random random = new Random(seed);
      Case problem = new Case(1 + random.nextInt(30), 1 + random.nextInt(400), 8, 8, seed);
      problem.bias = Case.gaussians(random, problem.rows * problem.keys);
      if (seed % 2 == 1) {
        for (int i = 0; i < problem.bias.length; i++) {
          if (random.nextInt(3) == 0 || i < problem.keys) {
            problem.bias[i] = Float.NEGATIVE_INFINITY;
          }
        }
      }
      if (seed % 4 == 3) {
        for (int r = 0; r < problem.rows; r++) {
          problem.high[r] = Math.min(problem.keys, r + 1);
        }
      }
      problem.check(1 + random.nextInt(problem.keys));
    }
  }

  @ParameterizedTest
  @ValueSource(floats = {1e4f, -1e4f, 30, -30, 1e-30f})
  void extremeScoresStayFiniteAndExact(float size) {
    Case problem = new Case(13, 700, 4, 4, 11);
    Random random = new Random(3);
    for (int i = 0; i < problem.q.length; i++) {
      problem.q[i] = 2;
    }
    for (int j = 0; j < problem.keys; j++) {
      Arrays.fill(
          problem.k, j * 4, j * 4 + 4, size / 4 * (j / 699f) + (float) random.nextGaussian());
    }
    problem.check(700);
    problem.check(90);
  }

  @Test
  void scoresThatFallFarBelowTheFirstTileAndRiseAgainAgreeWithTheOracle() {
    Case problem = new Case(24, 1024, 4, 4, 12);
    Arrays.fill(problem.q, 1);
    for (int j = 0; j < problem.keys; j++) {
      float level = new float[] {-300, -900, -280, 50}[j / 256];
      Arrays.fill(problem.k, j * 4, j * 4 + 4, level + j % 7);
    }
    problem.check(1024);
    for (int r = 0; r < problem.rows; r++) {
      problem.high[r] = r * 40;
    }
    problem.check(1024);
  }

  @Test
  void hiddenKeysAndValuesNeverLeakWhateverTheyHold() {
    for (float poison :
        new float[] {
          Float.NaN, Float.intBitsToFloat(0xffc00000), Float.POSITIVE_INFINITY, -1f / 0f
        }) {
      Case problem = new Case(40, 300, 16, 20, 5);
      for (int r = 0; r < problem.rows; r++) {
        problem.low[r] = r / 3;
        problem.high[r] = 240 + r / 2;
      }
      for (int c = 0; c < 16; c++) {
        problem.k[280 * 16 + c] = poison;
        problem.k[3 * 16 + c] = poison;
      }
      for (int r = 0; r < problem.rows; r++) {
        problem.low[r] = Math.max(4, problem.low[r]);
      }
      Arrays.fill(problem.v, 270 * 20, 300 * 20, poison);
      Arrays.fill(problem.v, 0, 4 * 20, poison);
      problem.check(300);
      problem.bias = new float[40 * 300];
      for (int r = 0; r < 40; r++) {
        problem.bias[r * 300 + 100] = Float.NEGATIVE_INFINITY;
      }
      problem.v[100 * 20 + 7] = poison;
      problem.k[100 * 16 + 7] = poison;
      problem.check(300);
    }
  }

  @Test
  void aValueSeenBySomeRowsOnlyMakesOnlyThoseNan() {
    Case problem = new Case(30, 64, 8, 8, 6);
    for (int r = 0; r < problem.rows; r++) {
      problem.high[r] = r + 1;
    }
    problem.v[17 * 8 + 2] = Float.NaN;
    problem.check(64);
  }

  @Test
  void aVisibleNanMakesTheRowNan() {
    for (float poison : new float[] {Float.NaN, Float.intBitsToFloat(0xffc00000)}) {
      Case keyPoison = new Case(30, 600, 8, 8, 7);
      for (int r = 0; r < keyPoison.rows; r++) {
        keyPoison.high[r] = 300 + r;
      }
      keyPoison.k[310 * 8 + 3] = poison;
      keyPoison.check(600);
      Case queryPoison = new Case(30, 600, 8, 8, 8);
      queryPoison.q[14 * 8 + 1] = poison;
      queryPoison.check(600);
      Case biasPoison = new Case(30, 300, 8, 8, 9);
      biasPoison.bias = new float[30 * 300];
      biasPoison.bias[5 * 300 + 290] = poison;
      biasPoison.check(300);
    }
  }

  /// Rows are put aside after a third of the keys, taken up as a gathered block in another order
  /// for the second third, and in order again for the last; some see nothing of the first or at
  /// all.
  @Test
  void rowsPutAsideAndTakenUpAgainAgreeWithTheOracle() {
    Case c = new Case(29, 96, 20, 21, 11);
    for (int i = 5 * c.dim; i < 6 * c.dim; i++) {
      c.q[i] *= 200;
    }
    Arrays.fill(c.low, 7, 12, 40);
    c.high[9] = 0;
    SoftmaxTile tile = new SoftmaxTile(new Scratch(), c.rows, c.dim, c.valueDim);
    KeyPanels panels = new KeyPanels(new Scratch(), c.keys, c.dim);
    panels.pack(c.k, 0, c.dim, c.keys, 0);
    float[] aside = new float[3 + c.rows * c.valueDim];
    float[] marks = new float[1 + 2 * c.rows];
    int[] index = new int[c.rows + 1];
    int[] low = c.low.clone();
    int[] high = c.high.clone();
    for (int r = 0; r < c.rows; r++) {
      index[1 + r] = c.rows - 1 - r;
      low[r] = c.low[c.rows - 1 - r];
      high[r] = c.high[c.rows - 1 - r];
    }
    tile.begin(c.q, 0, c.dim, c.rows, c.scale);
    tile.attend(panels, c.v, 0, c.valueDim, 0, 32, c.low, 0, c.high, 0);
    tile.suspend(aside, 3, c.valueDim, marks, 1, 2);
    tile.begin(c.q, 0, c.dim, index, 1, c.rows, c.scale);
    tile.resume(aside, 3, c.valueDim, index, 1, marks, 1, 2);
    tile.attend(panels, c.v, 0, c.valueDim, 32, 64, low, 0, high, 0);
    tile.suspend(aside, 3, c.valueDim, index, 1, marks, 1, 2);
    assertEquals(0, marks[1 + 2 * 9], "the sum of a row that saw no key");
    assertEquals(Float.NEGATIVE_INFINITY, marks[1 + 2 * 9 + 1], "its reference");
    tile.begin(c.q, 0, c.dim, c.rows, c.scale);
    tile.resume(aside, 3, c.valueDim, marks, 1, 2);
    tile.attend(panels, c.v, 0, c.valueDim, 64, 96, c.low, 0, c.high, 0);
    float[] out = new float[c.rows * c.valueDim];
    float[] lse = new float[c.rows];
    tile.finish(out, 0, c.valueDim, lse, 0);
    for (int r = 0; r < c.rows; r++) {
      c.checkRow(r, out, lse[r]);
    }
  }

  @Test
  void gatheredKeysAndQueriesEqualCopiedOnes() {
    Case problem = new Case(17, 50, 24, 16, 10);
    Random random = new Random(2);
    int[] keyIndex = random.ints(40, 0, 50).toArray();
    int[] queryIndex = random.ints(11, 0, 17).toArray();
    float[] k = new float[40 * 24];
    float[] q = new float[11 * 24];
    for (int j = 0; j < 40; j++) {
      System.arraycopy(problem.k, keyIndex[j] * 24, k, j * 24, 24);
    }
    for (int r = 0; r < 11; r++) {
      System.arraycopy(problem.q, queryIndex[r] * 24, q, r * 24, 24);
    }
    Scratch scratch = new Scratch();
    KeyPanels copied = new KeyPanels(scratch, 40, 24);
    KeyPanels gathered = new KeyPanels(scratch, 40, 24);
    copied.pack(k, 0, 24, 40, 0);
    gathered.gather(problem.k, 0, 24, keyIndex, 0, 9, 0);
    gathered.gather(problem.k, 0, 24, keyIndex, 9, 31, 9);
    SoftmaxTile tile = new SoftmaxTile(scratch, 17, 24, 16);
    float[] expected = new float[11 * 16];
    float[] actual = new float[11 * 16];
    tile.begin(q, 0, 24, 11, 0.2f);
    tile.attend(copied, problem.v, 0, 16, 0, 40);
    tile.finish(expected, 0, 16);
    tile.begin(problem.q, 0, 24, queryIndex, 0, 11, 0.2f);
    tile.attend(gathered, problem.v, 0, 16, 0, 40);
    tile.finish(actual, 0, 16);
    assertEquals(Arrays.toString(expected), Arrays.toString(actual));
    for (float value : actual) {
      assertFalse(Float.isNaN(value));
    }
  }
}
