// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.Attention;
import dev.crossover.attention.testing.AttentionContract;
import dev.crossover.variants.feature.Performer.Kernel;
import java.util.List;

/// The contract for the features without a running maximum, and for those without a fixed sign.
class PerformerSignedTest extends AttentionContract {
  @Override
  public Attention attention() {
    return new Performer(Kernel.SOFTMAX_TRIGONOMETRIC, 512, 3);
  }

  @Override
  public List<Attention> instances() {
    return List.of(attention(), new Performer(Kernel.SOFTMAX_HYPERBOLIC, 24, 3));
  }

  @Override
  public Reference gradientReference() {
    return PerformerOracle.withConstantMaxima();
  }

  /// Signed weights of sum 1 may be as large as 100, which magnifies the rounding error of a sum.
  @Override
  public double tolerance() {
    return 1e-3;
  }
}
