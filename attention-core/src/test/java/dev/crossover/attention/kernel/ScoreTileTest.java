package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
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
          tile.compute(q, 0, dim, rows, keys, n);
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
    tile.compute(q, 0, dim, ScoreTile.rows(n), keys, n);
    for (int r = 0; r < ScoreTile.rows(n); r++) {
      for (int j = 1; j < n; j += 2) {
        assertEquals(score(tile, r, 0), score(tile, r, j), "row " + r + ", key " + j);
      }
    }
  }

  private static float score(ScoreTile tile, int r, int j) {
    return tile.scores()[
        tile.start(r) + j / ScoreTile.SEGMENT * tile.stride() + j % ScoreTile.SEGMENT];
  }
}
