// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
import org.jspecify.annotations.Nullable;
import org.junit.jupiter.api.Test;

class ShortQueriesTest {
  private static final int ROWS = 3;
  private static final int KEYS = 70;
  private static final int DIM = 20;
  private static final int VALUE_DIM = 13;

  private final float[] q = Draws.gaussian(1, ROWS * DIM).data();
  private final float[] k = Draws.gaussian(2, 1 + KEYS * DIM).data();

  /// Once with all keys, once with limits, once with additions that hide.
  @Test
  void valuesMayBeAPartOfTheKeys() {
    float[] v = new float[KEYS * VALUE_DIM];
    for (int j = 0; j < KEYS; j++) {
      System.arraycopy(k, 1 + j * DIM, v, j * VALUE_DIM, VALUE_DIM);
    }
    int[] high = {KEYS, 31, 0};
    float[] bias = Draws.gaussian(3, ROWS * KEYS).data();
    for (int j = 0; j < KEYS; j += 3) {
      bias[KEYS + j] = Float.NEGATIVE_INFINITY;
    }
    requireSame(v, null, null);
    requireSame(v, high, null);
    requireSame(v, null, bias);
  }

  private void requireSame(float[] v, int @Nullable [] high, float @Nullable [] bias) {
    float[] apart = new float[ROWS * VALUE_DIM];
    float[] within = new float[ROWS * VALUE_DIM];
    ShortQueries queries = new ShortQueries(new Scratch(), ROWS, DIM, VALUE_DIM);
    queries.begin(q, 0, ROWS, 0.3f);
    queries.attend(k, 1, v, 0, 0, KEYS, high, bias, 0, KEYS);
    queries.finish(apart, 0);
    queries.begin(q, 0, ROWS, 0.3f);
    queries.attend(k, 1, k, 1, DIM, 0, KEYS, high, bias, 0, KEYS);
    queries.finish(within, 0);
    assertArrayEquals(apart, within);
    assertTrue(apart[0] != 0);
  }
}
