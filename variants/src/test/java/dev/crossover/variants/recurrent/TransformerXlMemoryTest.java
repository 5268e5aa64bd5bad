// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import java.util.Map;

/// Segments after a memory of five keys.
class TransformerXlMemoryTest extends AttentionContract {
  private static final int MEMORY = 5;

  @Override
  public Attention attention() {
    return new TransformerXl(MEMORY);
  }

  @Override
  public AttentionShape shape(int n) {
    return AttentionShape.of(2, 2, n, 8).withSeqLens(n, n + MEMORY);
  }

  @Override
  public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return keySeqLen == querySeqLen + MEMORY;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(Claim.DECODING_EQUALS_WHOLE, "a session starts without the keys of a memory");
  }

  @Override
  public Reference reference() {
    return TransformerXlTest::expected;
  }
}
