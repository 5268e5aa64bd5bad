// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.sparse;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import java.util.Map;
import java.util.OptionalInt;

/// The contract where the number of keys kept follows the length.
class TopKRatioTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new TopK(OptionalInt.empty(), OptionalInt.of(4), 5);
  }

  @Override
  public Reference reference() {
    return TopKTest::expected;
  }

  @Override
  public Map<Claim, String> exemptions() {
    String reason = "a share of the keys is kept, and padding or later tokens are among them";
    return Map.of(
        Claim.PADDING_EQUALS_SHORTER, reason,
        Claim.PREFIX_EQUALS_SHORTER, reason);
  }
}
