// SPDX-License-Identifier: Apache-2.0
/// Mechanisms that score every pair, but not by a scaled dot product.
@NullMarked
package dev.crossover.variants.score;

import org.jspecify.annotations.NullMarked;
