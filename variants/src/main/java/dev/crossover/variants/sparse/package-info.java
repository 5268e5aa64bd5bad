/// Attention over fixed or selected subsets of pairs: windows, strides, blocks, largest scores.
///
/// All of it is gathered into dense tiles of the fused exact kernel: a block of query rows meets
/// runs of packed keys, each row with an interval of its own, and what falls into several passes is
/// merged by log-sum-exp.
@NullMarked
package dev.crossover.variants.sparse;

import org.jspecify.annotations.NullMarked;
