// SPDX-License-Identifier: Apache-2.0
/// Exact attention beside the native libraries, in one interleaved run; only in the profile
/// `peers`.
@NullMarked
package dev.crossover.bench.peers;

import org.jspecify.annotations.NullMarked;
