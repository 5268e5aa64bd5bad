// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

/// Work and memory of one backward pass, as counted by the formulas of its implementation.
///
/// @param flops floating-point operations of one `backward` with gradients of all inputs, a
///     multiply-add counted as two and an exponential as one; recomputed parts of the forward pass
///     included
/// @param keptBytes bytes that the forward pass keeps for the backward pass, exactly
/// @param scratchBytes bytes that the plan allocates for its own use in both passes, without what
///     it keeps, exactly
public record GradientCost(double flops, long keptBytes, long scratchBytes) {}
