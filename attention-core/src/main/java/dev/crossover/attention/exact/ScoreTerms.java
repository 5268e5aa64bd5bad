// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.kernel.ScoreTerm;

/// Hands out the terms of the scores of [TiledBackward], one head at a time.
@FunctionalInterface
public interface ScoreTerms {

  /// The term of one query head for one task; called right before it is used, allocates nothing.
  ///
  /// @param worker no two tasks run at once on the same worker
  /// @param batch batch entry
  /// @param head query head
  /// @param share what the task's gradients must be added to, below [TiledBackward#shares()]: tasks
  ///     of one head that run at once have different ones
  ScoreTerm of(int worker, int batch, int head, int share);
}
