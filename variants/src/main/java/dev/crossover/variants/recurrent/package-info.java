/// Mechanisms built on recurrence or on relative positions.
@NullMarked
package dev.crossover.variants.recurrent;

import org.jspecify.annotations.NullMarked;
