// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

/// What a [CachePolicy] may look at when it scores the cached positions of a head.
public interface CacheView {
  /// Cached positions of a head.
  int cached();

  /// Number of positions of the prompt.
  int prompt();

  /// Width of a key row.
  int dim();

  /// Width of a value row.
  int valueDim();

  /// Query heads that share a key/value head.
  int group();

  /// Query heads of a batch entry.
  int queryHeads();

  /// Original position of the row at a place of a head's cache.
  int position(int head, int place);

  /// Restores the key at a place.
  void key(int head, int place, float[] into);

  /// Restores the value at a place.
  void value(int head, int place, float[] into);

  /// Weights of the queries that [CachePolicy#weights] names, added up, of a place: the mean over
  /// the query heads of the group.
  double weight(int head, int place);

  /// The query of a prompt row before any rotation; for one query head of a key/value head's group.
  ///
  /// @param row from 0 to prompt − 1
  /// @param member from 0 to group − 1
  /// @param into receives `dim` numbers
  void promptQuery(int head, int member, int row, float[] into);
}
