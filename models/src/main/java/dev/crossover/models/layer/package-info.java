// SPDX-License-Identifier: Apache-2.0
/// Layers: maps, norms, activations, convolutions, recurrences, positions, and multi-head attention
/// around any mechanism, each with its backward pass beside it.
///
/// Operations are added to a [dev.crossover.models.graph.Graph]; [Layers] is where to look for how
/// they are put together.
@NullMarked
package dev.crossover.models.layer;

import org.jspecify.annotations.NullMarked;
