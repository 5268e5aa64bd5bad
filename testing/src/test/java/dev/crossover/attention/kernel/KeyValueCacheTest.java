// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import dev.crossover.attention.Scratch;
import dev.crossover.attention.random.Draws;
import org.junit.jupiter.api.Test;

class KeyValueCacheTest {

  @Test
  void rewritingASlotLeavesTheOthersAsTheyAre() {
    int slots = 40;
    int dim = 6;
    float[] old = Draws.gaussian(1, slots, dim).data();
    float[] fresh = Draws.gaussian(2, slots, dim).data();
    for (int rewritten : new int[] {0, 5, 16, 32, 39}) {
      KeyValueCache ring = new KeyValueCache(new Scratch(), 1, slots, dim, dim);
      KeyValueCache straight = new KeyValueCache(new Scratch(), 1, slots, dim, dim);
      for (int slot = 0; slot < slots; slot++) {
        ring.put(0, slot, old, slot * dim, old, slot * dim);
        float[] expected = slot == rewritten ? fresh : old;
        straight.put(0, slot, expected, slot * dim, expected, slot * dim);
      }
      ring.put(0, rewritten, fresh, rewritten * dim, fresh, rewritten * dim);
      assertArrayEquals(attended(straight, slots, dim), attended(ring, slots, dim));
    }
  }

  private static float[] attended(KeyValueCache cache, int slots, int dim) {
    SoftmaxTile tile = new SoftmaxTile(new Scratch(), 1, dim, dim);
    float[] out = new float[dim];
    tile.begin(Draws.gaussian(3, dim).data(), 0, dim, 1, 1);
    cache.attend(tile, 0, 0, slots);
    tile.finish(out, 0, dim);
    return out;
  }
}
