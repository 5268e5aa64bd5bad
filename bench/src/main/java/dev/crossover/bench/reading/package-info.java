// SPDX-License-Identifier: Apache-2.0
/// What attention weights say: causal graphs over tokens, rollout and flow across layers,
/// statistics of heads, implied and effective weights, and how many layers a token's influence
/// needs.
///
/// Nothing here explains a prediction by itself; every number is named for what it is.
@NullMarked
package dev.crossover.bench.reading;

import org.jspecify.annotations.NullMarked;
