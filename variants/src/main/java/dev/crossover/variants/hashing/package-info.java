// SPDX-License-Identifier: Apache-2.0
/// Attention among tokens that a locality-sensitive hash puts close to each other.
@NullMarked
package dev.crossover.variants.hashing;

import org.jspecify.annotations.NullMarked;
