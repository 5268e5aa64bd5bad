// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.kernel.Kernels;

/// How a query's scores of cached keys become the weights of their values: softmax of scaled dot
/// products, unless a mechanism says otherwise.
public interface CacheWeights {
  /// What a mechanism's weights are made of, and what a policy supposes of them: each form is a
  /// case of those before it.
  enum Form {
    /// Weights of any origin.
    ANY,
    /// They grow with the dot product of the cached key and one query row, and with nothing else.
    DOT_PRODUCT,
    /// Softmax of the dot products over √d.
    SOFTMAX
  }

  /// Most keys of one call of [#score].
  int MOST_KEYS = RowTile.ROWS;

  /// Softmax of scaled dot products.
  CacheWeights SOFTMAX = new CacheWeights() {};

  /// Turns the scores of one query row into weights, in place.
  ///
  /// @param worker whose buffers may be used
  /// @param problem (batch entry, query head) pair
  /// @param position of the query
  /// @param count cached positions that the query reads, its own the last of them
  /// @param positions their original positions, ascending
  /// @param scores in the same order, from `at`
  default void weigh(
      int worker, int problem, int position, int count, int[] positions, float[] scores, int at) {
    Kernels.get().softmax(count, scores, at);
  }

  /// Whether scores are scaled dot products; others are written by [#score].
  default boolean dotProducts() {
    return true;
  }

  /// Writes the scores of one query row and some keys, where they are no dot products.
  ///
  /// @param worker whose buffers may be used
  /// @param problem (batch entry, query head) pair
  /// @param qo first number of the query row
  /// @param count keys, one row after the other from `ko`
  /// @param so where the first score goes
  default void score(
      int worker,
      int problem,
      float[] q,
      int qo,
      int count,
      float[] keys,
      int ko,
      float[] scores,
      int so) {
    throw new UnsupportedOperationException("scores are dot products");
  }
}
