// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static dev.crossover.attention.testing.Tolerance.assertWithin;
import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Scratch;
import java.util.Arrays;
import java.util.Random;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/// The gradient tile of the selected kernels against its formulas in double precision.
class GradientTileTest {

  /// One head: `n` query rows and `n` key rows, and how often a query sees a key.
  private static final class Case {
    final Random random;
    final int n;
    final int dim;
    final int valueDim;
    final float scale;
    final float[] q;
    final float[] k;
    final float[] v;
    final float[] gradOut;
    final float[] lse;
    final float[] delta;
    final double[][] times;
    final double[][] bias;
    final float[] gradQ;
    final float[] gradK;
    final float[] gradV;

    Case(int n, int dim, int valueDim, long seed) {
      random = new Random(seed);
      this.n = n;
      this.dim = dim;
      this.valueDim = valueDim;
      scale = (float) (1 / Math.sqrt(dim));
      q = gaussians(n * dim);
      k = gaussians(n * dim);
      v = gaussians(n * valueDim);
      gradOut = gaussians(n * valueDim);
      lse = new float[n];
      delta = new float[n];
      times = new double[n][n];
      bias = new double[n][n];
      gradQ = new float[n * dim];
      gradK = new float[n * dim];
      gradV = new float[n * valueDim];
    }

    private float[] gaussians(int count) {
      float[] x = new float[count];
      for (int i = 0; i < count; i++) {
        x[i] = (float) random.nextGaussian();
      }
      return x;
    }

    private double score(int i, int j) {
      double score = bias[i][j];
      for (int c = 0; c < dim; c++) {
        score += (double) scale * q[i * dim + c] * k[j * dim + c];
      }
      return score;
    }

    private double weighed(int i, int j) {
      double sum = 0;
      for (int c = 0; c < valueDim; c++) {
        sum += (double) gradOut[i * valueDim + c] * v[j * valueDim + c];
      }
      return sum;
    }

    /// Fills L and D from what is seen.
    void forward() {
      for (int i = 0; i < n; i++) {
        double sum = 0;
        double mean = 0;
        for (int j = 0; j < n; j++) {
          double weight = times[i][j] == 0 ? 0 : times[i][j] * Math.exp(score(i, j));
          sum += weight;
          mean += weight == 0 ? 0 : weight * weighed(i, j);
        }
        lse[i] = sum == 0 ? Float.NEGATIVE_INFINITY : (float) Math.log(sum);
        delta[i] = sum == 0 ? 0 : (float) (mean / sum);
      }
    }

    GradientTile tile(Scratch scratch, int rows) {
      GradientTile tile = new GradientTile(scratch, rows, dim, valueDim);
      assertEquals(GradientTile.bytes(rows, dim, valueDim), scratch.bytes());
      tile.head(q, 0, gradOut, 0, lse, delta, null, 0, gradQ, 0, scale);
      return tile;
    }

    GradientKeys keys(int maxKeys) {
      Scratch scratch = new Scratch();
      GradientKeys keys = new GradientKeys(scratch, maxKeys, dim, valueDim);
      assertEquals(GradientKeys.bytes(maxKeys, dim, valueDim), scratch.bytes());
      keys.begin();
      return keys;
    }

    /// Compares with the formulas; gradients were 0 before.
    void check() {
      double[] gq = new double[n * dim];
      double[] gk = new double[n * dim];
      double[] gv = new double[n * valueDim];
      for (int i = 0; i < n; i++) {
        for (int j = 0; j < n; j++) {
          if (times[i][j] == 0) {
            continue;
          }
          double p = times[i][j] * Math.exp(score(i, j) - lse[i]);
          double slope = scale * p * (weighed(i, j) - delta[i]);
          for (int c = 0; c < dim; c++) {
            gq[i * dim + c] += slope * k[j * dim + c];
            gk[j * dim + c] += slope * q[i * dim + c];
          }
          for (int c = 0; c < valueDim; c++) {
            gv[j * valueDim + c] += p * gradOut[i * valueDim + c];
          }
        }
      }
      compare(gq, gradQ, "∂q");
      compare(gk, gradK, "∂k");
      compare(gv, gradV, "∂v");
    }

    // Weights err by some 1e-6 relatively, and sums have terms of order 10 at most.
    private static void compare(double[] expected, float[] actual, String what) {
      for (int e = 0; e < expected.length; e++) {
        assertWithin(expected[e], actual[e], 3e-5 + 1e-5 * Math.abs(expected[e]), what + e);
      }
    }
  }

  @ParameterizedTest
  @ValueSource(ints = {1, 5, 8, 24, 33, 64})
  void rowsWithIntervalsOfTheirOwn(int dim) {
    for (int seed = 0; seed < 6; seed++) {
      Case c = new Case(seed < 4 ? 40 + 17 * seed : 500, dim, 1 + (dim + 2) % 40, seed);
      int[] low = new int[c.n];
      int[] high = new int[c.n];
      for (int i = 0; i < c.n; i++) {
        low[i] = seed % 2 == 0 ? Math.max(0, i - 20) : c.random.nextInt(c.n);
        high[i] = seed % 2 == 0 ? Math.min(c.n, i + 9) : low[i] + c.random.nextInt(c.n - low[i]);
        Arrays.fill(c.times[i], low[i], high[i], 1);
      }
      c.forward();
      GradientKeys keys = c.keys(c.n);
      keys.add(0, 1, c.n);
      keys.load(c.k, 0, c.v, 0);
      int rows = GradientTile.preferredRows();
      GradientTile tile = c.tile(new Scratch(), rows);
      for (int first = 0; first < c.n; first += rows) {
        int count = Math.min(rows, c.n - first);
        tile.rows(first, 1, count);
        for (int r = 0; r < count; r++) {
          tile.see(r, low[first + r], high[first + r]);
        }
        tile.attend(keys);
        tile.finish();
      }
      keys.store(c.scale, c.gradK, 0, c.gradV, 0);
      c.check();
    }
  }

  @Test
  void hiddenKindsHaveNoPlace() {
    Case c = new Case(200, 16, 16, 7);
    int[] kind = new int[c.n];
    for (int j = 0; j < c.n; j++) {
      kind[j] = 1 << c.random.nextInt(3);
    }
    for (int i = 0; i < c.n; i++) {
      for (int j = Math.max(0, i - 30); j <= i; j++) {
        c.times[i][j] = (kind[j] & 5) != 0 ? 1 : 0;
      }
    }
    for (int j = 0; j < c.n; j++) {
      if (kind[j] == 2) {
        Arrays.fill(c.k, j * c.dim, (j + 1) * c.dim, Float.NaN);
        Arrays.fill(c.v, j * c.valueDim, (j + 1) * c.valueDim, Float.NaN);
      }
    }
    c.forward();
    GradientKeys keys = c.keys(c.n);
    keys.add(0, 1, c.n, kind, 0, 5);
    keys.load(c.k, 0, c.v, 0);
    GradientTile tile = c.tile(new Scratch(), 50);
    for (int first = 0; first < c.n; first += 50) {
      tile.rows(first, 1, 50);
      for (int r = 0; r < 50; r++) {
        tile.see(r, Math.max(0, first + r - 30), first + r + 1);
      }
      tile.attend(keys);
      tile.finish();
    }
    keys.store(c.scale, c.gradK, 0, c.gradV, 0);
    c.check();
  }

  @Test
  void gatheredRowsMeetGatheredKeysTwice() {
    Case c = new Case(130, 20, 12, 8);
    int[] rows = c.random.ints(0, c.n).distinct().limit(60).toArray();
    int[] some = c.random.ints(0, c.n).distinct().limit(45).toArray();
    int step = 3;
    for (int i : rows) {
      for (int j : some) {
        c.times[i][j]++;
      }
      for (int j = 2; j < c.n; j += step) {
        c.times[i][j] += 2;
      }
    }
    c.forward();
    GradientKeys keys = c.keys(2 * c.n);
    keys.add(some, 0, some.length);
    int start = keys.positions();
    int count = Math.ceilDiv(c.n - 2, step);
    keys.add(2, step, count);
    keys.load(c.k, 0, c.v, 0);
    GradientTile tile = c.tile(new Scratch(), rows.length);
    tile.rows(rows, 0, rows.length);
    for (int r = 0; r < rows.length; r++) {
      tile.see(r, 0, start + count);
    }
    tile.attend(keys);
    tile.attend(keys, start, start + count);
    tile.finish();
    keys.store(c.scale, c.gradK, 0, c.gradV, 0);
    c.check();
  }

  @Test
  void additionsToScoresCountAndHide() {
    Case c = new Case(150, 16, 16, 9);
    float[] bias = new float[c.n * c.n];
    for (int i = 0; i < c.n; i++) {
      for (int j = 20; j < 110; j++) {
        boolean hidden = c.random.nextInt(3) == 0;
        float addition = hidden ? Float.NEGATIVE_INFINITY : (float) c.random.nextGaussian();
        bias[i * c.n + j - 20] = addition;
        c.times[i][j] = hidden ? 0 : 1;
        c.bias[i][j] = hidden ? 0 : addition;
      }
    }
    c.forward();
    GradientKeys keys = c.keys(c.n);
    keys.add(0, 1, c.n);
    keys.load(c.k, 0, c.v, 0);
    GradientTile tile = c.tile(new Scratch(), 50);
    for (int first = 0; first < c.n; first += 50) {
      tile.rows(first, 1, 50);
      for (int r = 0; r < 50; r++) {
        tile.see(r, 0, c.n);
      }
      tile.attendBiased(keys, 20, 110, bias, first * c.n, c.n);
      tile.finish();
    }
    keys.store(c.scale, c.gradK, 0, c.gradV, 0);
    c.check();
  }

  @Test
  void nanReachesWhatSeesItAndNothingElse() {
    for (String poisoned : new String[] {"q", "k", "v", "∂out"}) {
      Case clean = banded();
      Case c = banded();
      int row = 57;
      float[] to =
          switch (poisoned) {
            case "q" -> c.q;
            case "k" -> c.k;
            case "v" -> c.v;
            default -> c.gradOut;
          };
      to[row * 16 + 3] = -Float.NaN;
      run(clean);
      run(c);
      for (int i = 0; i < c.n; i++) {
        boolean byKey = poisoned.equals("k") || poisoned.equals("v");
        // A query sees the 8 keys up to its own.
        boolean queryTouched = byKey ? i >= row && i < row + 8 : i == row;
        boolean keyTouched = byKey ? Math.abs(i - row) < 8 : i <= row && i > row - 8;
        String what = poisoned + " at " + row + ", row " + i;
        same(queryTouched, clean.gradQ, c.gradQ, i, "∂q, " + what);
        same(keyTouched, clean.gradK, c.gradK, i, "∂k, " + what);
        boolean valueTouched = keyTouched && !poisoned.equals("v");
        if (!poisoned.equals("∂out")) {
          same(valueTouched, clean.gradV, c.gradV, i, "∂v, " + what);
        }
      }
    }
  }

  private static Case banded() {
    Case c = new Case(120, 16, 16, 11);
    for (int i = 0; i < c.n; i++) {
      Arrays.fill(c.times[i], Math.max(0, i - 7), i + 1, 1);
    }
    return c;
  }

  private static void run(Case c) {
    c.forward();
    GradientKeys keys = c.keys(c.n);
    keys.add(0, 1, c.n);
    keys.load(c.k, 0, c.v, 0);
    GradientTile tile = c.tile(new Scratch(), 60);
    for (int first = 0; first < c.n; first += 60) {
      tile.rows(first, 1, 60);
      for (int r = 0; r < 60; r++) {
        tile.see(r, Math.max(0, first + r - 7), first + r + 1);
      }
      tile.attend(keys);
      tile.finish();
    }
    keys.store(c.scale, c.gradK, 0, c.gradV, 0);
  }

  private static void same(boolean touched, float[] clean, float[] actual, int row, String what) {
    float[] expected = Arrays.copyOfRange(clean, row * 16, row * 16 + 16);
    float[] own = Arrays.copyOfRange(actual, row * 16, row * 16 + 16);
    if (touched) {
      assertTrue(Float.isNaN(own[3]), what + " must be NaN");
    } else {
      assertArrayEquals(expected, own, what);
    }
  }
}
