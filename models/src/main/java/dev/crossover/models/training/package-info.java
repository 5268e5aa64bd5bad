// SPDX-License-Identifier: Apache-2.0
/// Training: steps of a model with an optimiser, and attention transfer.
@NullMarked
package dev.crossover.models.training;

import org.jspecify.annotations.NullMarked;
