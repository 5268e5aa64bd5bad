// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.kernel;

import org.jspecify.annotations.Nullable;

/// What [GradientTile] needs done, by scalar or by vector code.
interface GradientEngine {

  /// Prepares products with the rows of a block, before those that are not finite are cleared.
  void begin(GradientRows rows);

  /// Adds the gradients of the pairs of row r and the places `max(from, low[r]) … min(to, high[r])
  /// - 1`.
  ///
  /// @param bias what was added to the scaled score of row r and place j is at `bo + r * ldb + (j -
  ///     from)`, −∞ for a hidden pair; null for none
  void attend(
      GradientRows rows,
      GradientKeys keys,
      int from,
      int to,
      int[] low,
      int[] high,
      float @Nullable [] bias,
      int bo,
      int ldb);
}
