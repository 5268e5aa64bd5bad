// SPDX-License-Identifier: Apache-2.0
/// What tests of mechanisms share, published as `crossover-testing`: a double-precision oracle,
/// seeded inputs, the contract every mechanism keeps, and golden replay.
///
/// Nothing here shares code with the kernels.
@NullMarked
package dev.crossover.attention.testing;

import org.jspecify.annotations.NullMarked;
