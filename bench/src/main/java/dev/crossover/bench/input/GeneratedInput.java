// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.input;

import dev.crossover.attention.AttentionShape;

/// A source that draws tensors of any size from a seed, and is its own declaration.
non-sealed interface GeneratedInput extends InputSource, InputRecord {

  @Override
  default InputSource source() {
    return this;
  }

  @Override
  default String label() {
    return Inputs.label(this);
  }

  @Override
  default AttentionShape shapeFor(AttentionShape wish) {
    return wish;
  }

  @Override
  default int maxSeqLen() {
    return Integer.MAX_VALUE;
  }
}
