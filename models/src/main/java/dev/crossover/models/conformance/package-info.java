// SPDX-License-Identifier: Apache-2.0
/// Replays golden files of layers, models, training runs, optimisers and attention transfer.
@NullMarked
package dev.crossover.models.conformance;

import org.jspecify.annotations.NullMarked;
