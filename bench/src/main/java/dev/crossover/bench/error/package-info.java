// SPDX-License-Identifier: Apache-2.0
/// How far a mechanism's output lies from exact attention on the same tensors under the same mask.
@NullMarked
package dev.crossover.bench.error;

import org.jspecify.annotations.NullMarked;
