// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.store;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DecodeSession;

/// A mechanism whose decoding sessions cache keys and values and can do so otherwise than in full.
public interface CachingAttention extends Attention {
  /// What sessions let be done with what they cache.
  enum Caching {
    /// Rows are written again and again: any store whose rows share no scales.
    REWRITTEN,
    /// Rows are appended: any store.
    APPENDED,
    /// Any store, and policies that drop or pass over positions.
    COMPRESSED
  }

  /// What this mechanism's sessions let be done with what they cache, in their usual setting.
  default Caching caching() {
    return Caching.REWRITTEN;
  }

  /// Opens a session that caches everything, as floats, where the mechanism decodes at all.
  @Override
  default DecodeSession decode(AttentionShape shape, int threads) {
    return capabilities().decoding()
        ? decode(shape, threads, CacheOptions.NONE)
        : Attention.super.decode(shape, threads);
  }

  /// Opens a causal decoding session over a cache with options.
  ///
  /// @param shape the widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @throws IllegalArgumentException if the mechanism cannot have these options, by name
  DecodeSession decode(AttentionShape shape, int threads, CacheOptions cache);
}
