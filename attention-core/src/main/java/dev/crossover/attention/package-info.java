// SPDX-License-Identifier: Apache-2.0
/// The attention interface: shapes, masks, named tensors, plans, decoding, capabilities and cost.
///
/// Tensors are float32, row-major `[batch, heads, seqLen, dim]`; true in a mask means *may attend*;
/// a row that may see no key gives zeros. Mechanisms live elsewhere and depend on this package
/// and those below it.
@NullMarked
package dev.crossover.attention;

import org.jspecify.annotations.NullMarked;
