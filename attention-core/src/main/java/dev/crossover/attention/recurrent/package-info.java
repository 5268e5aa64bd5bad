// SPDX-License-Identifier: Apache-2.0
/// Causal recurrences over a matrix state in chunks: one engine for decays, gates and the delta
/// rule.
///
/// A mechanism supplies an [dev.crossover.attention.recurrent.UpdateRule]; plan, decoding session
/// and cost follow from it. Mechanisms themselves do not belong here.
@NullMarked
package dev.crossover.attention.recurrent;

import org.jspecify.annotations.NullMarked;
