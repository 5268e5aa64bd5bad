// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Mask;
import dev.crossover.attention.Scratch;

/// Where a feature map will be used.
///
/// @param shape sizes; in a decoding session the lengths are the largest number of positions
/// @param mask which keys each query may see
/// @param threads number of workers, each of which needs scratch of its own
/// @param streaming whether tokens arrive one by one, so that nothing can be read ahead
/// @param scratch allocator, for use while the map is built
public record FeatureSite(
    AttentionShape shape, Mask mask, int threads, boolean streaming, Scratch scratch) {}
