// SPDX-License-Identifier: Apache-2.0
/// Attention over fixed or selected subsets of pairs: windows, strides, blocks, largest scores.
///
/// All but top-k is gathered into dense tiles of the fused exact kernel: a block of query rows
/// meets runs of packed keys, each row with an interval of its own, and what falls into several
/// passes is merged by log-sum-exp. Top-k scores every pair and keeps the largest.
@NullMarked
package dev.crossover.variants.sparse;

import org.jspecify.annotations.NullMarked;
