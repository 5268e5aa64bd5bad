// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.attention.Attention;
import dev.crossover.attention.mechanism.Mechanism;

/// A layer that is no mechanism between projections, but made as a whole: a record that is
/// annotated as mechanisms are and stands in [LayerCatalogue], known as `layer/NAME`.
public interface NamedLayer extends Attention {

  @Override
  default String name() {
    return LayerCatalogue.LAYER + Mechanism.Names.of(getClass());
  }
}
