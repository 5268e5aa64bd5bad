// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
import java.util.Arrays;
import org.junit.jupiter.api.Test;

class ScoreTileTest {

  @Test
  void scoresAreTheDotProductsAtEveryWidthAndLength() {
    for (int dim : new int[] {1, 7, 20, 64}) {
      for (int n : new int[] {1, 31, 33, 256, 257, 700}) {
        float[] q = Draws.gaussian(1, ScoreTile.rows(n), dim).data();
        float[] k = Draws.gaussian(2, n, dim).data();
        Scratch scratch = new Scratch();
        ScoreTile tile = new ScoreTile(scratch, n, dim);
        assertEquals(ScoreTile.bytes(n, dim), scratch.bytes());
        KeyPanels keys = new KeyPanels(scratch, n, dim);
        keys.pack(k, 0, dim, n, 0);
        for (int rows : new int[] {1, ScoreTile.rows(n) - 1, ScoreTile.rows(n)}) {
          tile.compute(q, 0, dim, rows, keys, n, 0, 0);
          for (int r = 0; r < rows; r++) {
            for (int j = 0; j < n; j++) {
              double expected = 0;
              for (int c = 0; c < dim; c++) {
                expected += (double) q[r * dim + c] * k[j * dim + c];
              }
              assertEquals(expected, score(tile, r, j), 1e-7 * dim * (16 + dim), "row " + r);
            }
          }
        }
      }
    }
  }

  @Test
  void equalKeysHaveBitwiseEqualScores() {
    int n = 555;
    int dim = 20;
    float[] q = Draws.gaussian(3, ScoreTile.rows(n), dim).data();
    float[] k = Draws.gaussian(4, n, dim).data();
    for (int j = 1; j < n; j += 2) {
      System.arraycopy(k, 0, k, j * dim, dim);
    }
    Scratch scratch = new Scratch();
    ScoreTile tile = new ScoreTile(scratch, n, dim);
    KeyPanels keys = new KeyPanels(scratch, n, dim);
    keys.pack(k, 0, dim, n, 0);
    tile.compute(q, 0, dim, ScoreTile.rows(n), keys, n, 0, 0);
    for (int r = 0; r < ScoreTile.rows(n); r++) {
      for (int j = 1; j < n; j += 2) {
        assertEquals(score(tile, r, 0), score(tile, r, j), "row " + r + ", key " + j);
      }
    }
  }

  @Test
  void maximaAreThoseOfTheGroupsOfWholeSegments() {
    int n = 1300;
    int dim = 8;
    float[] q = Draws.gaussian(5, ScoreTile.rows(n), dim).data();
    float[] k = Draws.gaussian(6, n, dim).data();
    Scratch scratch = new Scratch();
    ScoreTile tile = new ScoreTile(scratch, n, dim);
    KeyPanels keys = new KeyPanels(scratch, n, dim);
    keys.pack(k, 0, dim, n, 0);
    int rows = ScoreTile.rows(n) - 1;
    for (int block : new int[] {ScoreTile.SMALLEST_BLOCK, 256, 1024}) {
      int whole = 1024;
      tile.compute(q, 0, dim, rows, keys, n, block, whole);
      for (int r = 0; r < rows; r++) {
        int groups = (n + block - 1) / block * RowSelection.GROUPS;
        float[] expected = new float[groups];
        Arrays.fill(expected, Float.NEGATIVE_INFINITY);
        for (int j = 0; j < whole; j++) {
          int g = j / block * RowSelection.GROUPS + j % RowSelection.GROUPS;
          expected[g] = Math.max(expected[g], score(tile, r, j));
        }
        int start = tile.maximaStart(r);
        float[] actual = Arrays.copyOfRange(tile.maxima(), start, start + groups);
        assertArrayEquals(expected, actual, "row " + r + ", blocks of " + block);
      }
    }
  }

  private static float score(ScoreTile tile, int r, int j) {
    return tile.scores()[
        tile.start(r) + j / ScoreTile.SEGMENT * tile.stride() + j % ScoreTile.SEGMENT];
  }
}
