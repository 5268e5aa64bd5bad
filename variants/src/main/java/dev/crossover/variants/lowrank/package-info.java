/// Mechanisms that replace the keys by few representatives: projections, landmarks, a packed
/// sequence.
@NullMarked
package dev.crossover.variants.lowrank;

import org.jspecify.annotations.NullMarked;
