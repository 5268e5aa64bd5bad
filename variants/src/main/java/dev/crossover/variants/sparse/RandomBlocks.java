// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import org.apache.commons.rng.UniformRandomProvider;

/// Draws the random blocks of [BigBird].
public final class RandomBlocks {
  private RandomBlocks() {}

  /// Where random blocks are drawn from.
  public enum Plan {
    /// The whole sequence, as the paper says.
    SEQUENCE,
    /// The ranges of the authors' code: the first `2r + 5` blocks if there are more.
    AUTHORS;

    /// Draws `[numHeads, K − 2, r]` block numbers, so that no row lists a block twice; −1 where a
    /// row has no block left.
    ///
    /// @param seed the stream's seed
    /// @param shape heads, query blocks 1 to K − 2, blocks per row
    public Tensor draw(long seed, int... shape) {
      Tensor blocks = Tensor.zeros(shape);
      UniformRandomProvider generator = Draws.generator(seed);
      int numBlocks = shape[1] + 2;
      int[] order = new int[numBlocks];
      for (int row = 0; row < shape[0] * shape[1]; row++) {
        int block = 1 + row % shape[1];
        drawRow(generator, order, block, blocks.data(), row * shape[2], shape[2]);
      }
      return blocks;
    }

    private void drawRow(
        UniformRandomProvider generator, int[] order, int block, float[] out, int at, int r) {
      int numBlocks = order.length;
      int taken = 0;
      if (this == SEQUENCE || numBlocks <= r + 5) {
        taken = take(generator, order, 0, numBlocks, block, out, at, r);
      } else if (numBlocks > 2 * r + 5) {
        taken = take(generator, order, 0, 2 * r + 5, block, out, at, r);
      } else {
        taken = take(generator, order, 0, r + 5, block, out, at, r / 2);
        taken += take(generator, order, r + 5, numBlocks, block, out, at + taken, r - taken);
      }
      for (int s = taken; s < r; s++) {
        out[at + s] = -1;
      }
    }

    /// Takes up to `wanted` blocks of `from … to - 1` that the row does not list yet.
    private int take(
        UniformRandomProvider generator,
        int[] order,
        int from,
        int to,
        int block,
        float[] out,
        int at,
        int wanted) {
      for (int j = from; j < to; j++) {
        order[j] = j;
      }
      int taken = 0;
      for (int j = from; j < to && taken < wanted; j++) {
        int swap = j + generator.nextInt(to - j);
        int candidate = order[swap];
        order[swap] = order[j];
        order[j] = candidate;
        boolean listed =
            candidate == 0 || candidate == order.length - 1 || Math.abs(candidate - block) <= 1;
        boolean skipped = this == AUTHORS && candidate == to - 1;
        if (!listed && !skipped) {
          out[at + taken++] = candidate;
        }
      }
      return taken;
    }
  }
}
