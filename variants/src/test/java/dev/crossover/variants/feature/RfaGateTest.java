// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.variants.feature.Rfa.Kernel;
import dev.crossover.variants.feature.Rfa.Projection;
import dev.crossover.variants.feature.Rfa.Variant;
import java.util.List;
import java.util.Map;

/// The contract for the gated form, which is causal by construction.
class RfaGateTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new Rfa(Variant.PAPER, Kernel.ARCCOS, 64, 1, true, Projection.IID, 5);
  }

  @Override
  public Reference gradientReference() {
    return RfaOracle::out;
  }

  @Override
  public Map<String, Reference> resultReferences() {
    return Map.of(
        "final_state", RfaOracle::finalState, "final_normaliser", RfaOracle::finalNormaliser);
  }

  @Override
  public List<String> readAtPadding() {
    return List.of("gate");
  }

  @Override
  public List<String> optionalInputs() {
    return List.of("sigma");
  }
}
