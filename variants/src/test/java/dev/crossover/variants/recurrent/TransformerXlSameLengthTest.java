// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.variants.recurrent.TransformerXl.Positions;
import java.util.Map;
import java.util.OptionalInt;

/// Evaluation: every query sees seven keys, whatever the memory holds.
class TransformerXlSameLengthTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new TransformerXl(
        7, true, Positions.SINUSOID, OptionalInt.empty(), OptionalInt.empty(), 42);
  }

  @Override
  public AttentionShape shape(int n) {
    return AttentionShape.of(2, 2, n, 8).withSeqLens(n, n + 4);
  }

  @Override
  public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return keySeqLen >= querySeqLen;
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
