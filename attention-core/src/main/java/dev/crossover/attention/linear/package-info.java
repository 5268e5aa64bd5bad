// SPDX-License-Identifier: Apache-2.0
/// Kernelised linear attention: given feature maps for queries and keys and a rule for the
/// denominator, everything that mechanisms of the form `out_i = (φ(q_i)·S) / r(φ(q_i)·z)` share:
/// sums over keys, causal chunks, segments for many threads, initial and final states, decoding and
/// counted cost.
///
/// A mechanism that belongs here is its feature map and little else. Mechanisms that normalise
/// inside the feature map over positions (column softmax) do not belong here.
@NullMarked
package dev.crossover.attention.linear;

import org.jspecify.annotations.NullMarked;
