// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;

/// [LinearAttentionPlan] with its backward pass: keeps states at some boundaries between chunks and
/// two numbers per row, computes features and weights again.
public final class LinearDifferentiablePlan extends DifferentiablePlan {
  private final LinearForward forward;
  private final LinearBackward backward;

  /// @param request the checked request
  /// @param form feature maps and denominator
  public LinearDifferentiablePlan(PlanRequest request, LinearForm form) {
    super(request);
    FeatureSite site = new FeatureSite(shape, mask, threads(), false, scratch);
    forward = new LinearForward(site, workers, form, kept);
    backward = new LinearBackward(site, workers, forward);
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(
        inputs(),
        output.data(),
        wantsResult("final_state") ? result("final_state") : null,
        wantsResult("final_normaliser") ? result("final_normaliser") : null);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    backward.run(inputs(), output(), gradOut, resultGradients(), gradients());
  }
}
