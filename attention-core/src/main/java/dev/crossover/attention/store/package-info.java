// SPDX-License-Identifier: Apache-2.0
/// Stores of cached keys and values: how many bits a row takes, which positions stay, and attention
/// over what is stored.
///
/// A [KeyValueStore] keeps the rows of every key/value head in one of the forms of [Storage] and
/// restores them when they are read; [StoredAttention] attends over a store; a [CachePolicy]
/// decides which positions a compressed cache keeps, and [CompressedDecoder] decodes with one.
@NullMarked
package dev.crossover.attention.store;

import org.jspecify.annotations.NullMarked;
