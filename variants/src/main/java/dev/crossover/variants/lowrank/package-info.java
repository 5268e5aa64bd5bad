// SPDX-License-Identifier: Apache-2.0
/// Mechanisms that replace the keys by few representatives (projections, landmarks, a packed
/// sequence), or make keys and values from a short latent per token.
@NullMarked
package dev.crossover.variants.lowrank;

import org.jspecify.annotations.NullMarked;
