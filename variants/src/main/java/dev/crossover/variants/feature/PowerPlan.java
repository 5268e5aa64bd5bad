// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.feature;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;

/// The quadratic form of [Power].
final class PowerPlan extends AttentionPlan {
  private final PowerForward forward;

  PowerPlan(PlanRequest request, Power power) {
    super(request);
    forward = new PowerForward(power, shape, mask, workers, scratch, null);
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(inputs(), output.data());
  }
}
