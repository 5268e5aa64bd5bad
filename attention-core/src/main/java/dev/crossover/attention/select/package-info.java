// SPDX-License-Identifier: Apache-2.0
/// Selection of keys: what mechanisms that let a query see some of the keys share.
///
/// Intervals of packed keys ([IntervalTile]), keys packed by residue class ([StridedPanels]),
/// blocks that queries chose ([SelectedBlocks]), means of blocks ([BlockMeans]), the largest scores
/// of a row ([LargestScores]), and decoding from a cache of which a token sees a list of positions
/// ([KeyValueSession]).
@NullMarked
package dev.crossover.attention.select;

import org.jspecify.annotations.NullMarked;
