// SPDX-License-Identifier: Apache-2.0
/// Optimisers with PyTorch's arithmetic, learning-rate schedules, and clipping.
@NullMarked
package dev.crossover.models.optimiser;

import org.jspecify.annotations.NullMarked;
