// SPDX-License-Identifier: Apache-2.0
/// Mechanisms that carry a memory along the sequence: recurrence over segments with relative
/// positions, and recurrences over a matrix state.
///
/// The chunkwise engine of the latter lies in `dev.crossover.attention.recurrent`; here is what
/// tells one mechanism from another.
@NullMarked
package dev.crossover.variants.recurrent;

import org.jspecify.annotations.NullMarked;
