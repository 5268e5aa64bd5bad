// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;

/// A source that draws tensors of any size from a seed.
sealed interface GeneratedInput extends InputSource
    permits GaussianInput, LowRankInput, ClusteredInput, HeavyTailedInput, PlantedInput {

  @Override
  default AttentionShape shapeFor(AttentionShape wish) {
    return wish;
  }

  @Override
  default int maxSeqLen() {
    return Integer.MAX_VALUE;
  }
}
