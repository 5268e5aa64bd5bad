// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// What the generated inputs share.
final class Generated {
  private Generated() {}

  /// Sizes of queries of a width.
  static int[] queries(AttentionShape s, int width) {
    return new int[] {s.batchSize(), s.numHeads(), s.querySeqLen(), width};
  }

  /// Sizes of keys of a width.
  static int[] keys(AttentionShape s, int width) {
    return new int[] {s.batchSize(), s.numKeyValueHeads(), s.keySeqLen(), width};
  }

  /// Values from N(0, 1).
  static Tensor values(AttentionShape s, long seed) {
    return Draws.gaussian(Draws.seedFor(seed, "v"), keys(s, s.valueDim()));
  }

  /// Divides every row by its length.
  static void normalise(Tensor rows) {
    int d = rows.extent(rows.rank() - 1);
    for (int row = 0; row < rows.size() / d; row++) {
      double squares = 0;
      for (int e = 0; e < d; e++) {
        squares += (double) rows.data()[row * d + e] * rows.data()[row * d + e];
      }
      for (int e = 0; e < d; e++) {
        rows.data()[row * d + e] = (float) (rows.data()[row * d + e] / Math.sqrt(squares));
      }
    }
  }

  /// A number as a message writes it: whole ones without a point.
  private static String text(double value) {
    return value == Math.rint(value) && Math.abs(value) < 1e15
        ? Long.toString((long) value)
        : Double.toString(value);
  }

  static void requireScale(double scale) {
    require(scale > 0 && scale <= 1e6, "scale must be above 0 and at most 1e6", scale);
  }

  static void require(boolean holds, String rule, double value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + text(value));
    }
  }
}
