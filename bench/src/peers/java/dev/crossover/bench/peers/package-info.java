// SPDX-License-Identifier: Apache-2.0
/// Exact attention, and a training step of a language model, beside the native libraries in
/// interleaved runs; only in the profile `peers`.
@NullMarked
package dev.crossover.bench.peers;

import org.jspecify.annotations.NullMarked;
