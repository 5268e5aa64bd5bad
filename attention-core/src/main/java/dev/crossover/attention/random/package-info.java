// SPDX-License-Identifier: Apache-2.0
/// Seeded draws: streams, Gaussian and orthogonal matrices, the same on every machine.
@NullMarked
package dev.crossover.attention.random;

import org.jspecify.annotations.NullMarked;
