// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.exact;

import dev.crossover.attention.Attention;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.attention.testing.Oracle;

class TiledSelfLastTest extends AttentionContract {

  @Override
  public Attention attention() {
    return new TiledSelfLast(0.4);
  }

  @Override
  public Reference reference() {
    return (_, shape, mask, inputs) ->
        Oracle.softmax(
            new ExactTarget(
                shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), 0.4, true));
  }
}
