// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;

/// A mechanism whose decoding sessions cache keys and values and can do so otherwise than in full.
public interface CachingAttention extends Attention {
  /// Opens a causal decoding session over a cache with options.
  ///
  /// @param shape the widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @throws IllegalArgumentException if the mechanism cannot have these options, by name
  DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache);
}
