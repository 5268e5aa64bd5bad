// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.linear;

import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;

/// A planned linear attention: `out_i = (φ(q_i)·S) / r(φ(q_i)·z)` with `S = Σ φ(k)vᵀ`, `z = Σ φ(k)`
/// over the keys that query i may see.
///
/// Query heads that share a key/value head share its sums and features. Optional inputs
/// `initial_state` `[batch, numKeyValueHeads, M, dv]` and `initial_normaliser` `[batch,
/// numKeyValueHeads, M]`, and results `final_state` and `final_normaliser` of the same shapes, are
/// honoured where the mechanism lists them.
public final class LinearAttentionPlan extends AttentionPlan {
  private final LinearForward forward;

  /// @param request the checked request
  /// @param form feature maps and denominator
  public LinearAttentionPlan(PlanRequest request, LinearForm form) {
    super(request);
    FeatureSite site = new FeatureSite(shape, mask, threads(), false, scratch);
    forward = new LinearForward(site, workers, form, null);
  }

  @Override
  protected void compute(Tensor output) {
    forward.run(
        inputs(),
        output.data(),
        wantsResult("final_state") ? result("final_state") : null,
        wantsResult("final_normaliser") ? result("final_normaliser") : null);
  }
}
