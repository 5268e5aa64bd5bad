// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.recurrent;

import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.tensor.Tensor;

/// [RecurrentPlan] with its backward pass.
///
/// Keeps the state before each chunk, n/C · d · dv numbers per head, and where the rule erases the
/// values as written; scores and decays of a chunk are computed again. The gradients are those of
/// `q`, `k`, `v`, `initial_state`, and of what the rule reads, from those of the output and of
/// `final_state`.
public class RecurrentGradientPlan extends DifferentiablePlan {
  private final RecurrentBackward passes;

  /// @param request the checked request
  /// @param rule how the state decays and is written
  /// @param chunkLength rows of a chunk, at least 1; without effect on the result beyond rounding
  /// @throws IllegalArgumentException if the mask lets query i see other keys than 0 to i
  public RecurrentGradientPlan(PlanRequest request, UpdateRule rule, int chunkLength) {
    super(request);
    RecurrentPlan.requireAligned(request);
    ChunkLayout layout = ChunkLayout.of(shape, mask, rule, chunkLength);
    passes = new RecurrentBackward(layout, workers, scratch, kept);
  }

  @Override
  protected void compute(Tensor output) {
    boolean wanted = wantsResult(RecurrentPlan.FINAL);
    float[] last = wanted ? result(RecurrentPlan.FINAL) : UpdateRule.UNWANTED;
    passes.forward(inputs(), output.data(), last);
  }

  @Override
  protected void differentiate(float[] gradOut) {
    boolean given = hasResultGradient(RecurrentPlan.FINAL);
    float[] last = given ? resultGradient(RecurrentPlan.FINAL) : UpdateRule.UNWANTED;
    passes.run(inputs(), output(), gradOut, last, gradients());
  }
}
