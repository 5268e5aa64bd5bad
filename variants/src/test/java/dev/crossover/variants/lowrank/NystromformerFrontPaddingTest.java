// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.lowrank;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Claim;
import dev.crossover.variants.lowrank.Nystromformer.Init;
import dev.crossover.variants.lowrank.Nystromformer.MaskRule;
import dev.crossover.variants.lowrank.Nystromformer.SegmentRule;
import java.util.List;
import java.util.Map;
import java.util.OptionalInt;

/// Nyströmformer with zero rows in front, which takes sequences shorter than its landmarks.
class NystromformerFrontPaddingTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new Nystromformer(
        5,
        6,
        Init.EXACT,
        SegmentRule.FRONT_PADDING,
        MaskRule.MASKED_LANDMARKS,
        OptionalInt.empty(),
        1e-8);
  }

  @Override
  public List<Attention> instances() {
    return List.of(
        attention(),
        new Nystromformer(
            5,
            6,
            Init.EXACT,
            SegmentRule.FRONT_PADDING,
            MaskRule.AUTHORS,
            OptionalInt.empty(),
            1e-8));
  }

  @Override
  public boolean acceptsLengths(int querySeqLen, int keySeqLen) {
    return Math.min(querySeqLen, keySeqLen) >= 1;
  }

  @Override
  public Map<Claim, String> exemptions() {
    return Map.of(Claim.PADDING_EQUALS_SHORTER, "the segments follow from the padded length");
  }

  @Override
  public Reference reference() {
    return (attention, shape, mask, inputs) ->
        NystromReference.out((Nystromformer) attention, shape, mask, inputs);
  }
}
