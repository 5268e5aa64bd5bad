// SPDX-License-Identifier: Apache-2.0
package dev.crossover.variants.recurrent;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.DecodeSession;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.GradientCost;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.recurrent.RecurrentCost;
import dev.crossover.attention.recurrent.RecurrentGradientPlan;
import dev.crossover.attention.recurrent.RecurrentPlan;
import dev.crossover.attention.recurrent.RecurrentSession;
import dev.crossover.attention.recurrent.UpdateRule;
import java.util.List;

/// A mechanism that is an update rule of a matrix state `[d, dv]` per head: plans, gradients,
/// decoding and costs follow from the rule and the chunk length.
public interface MatrixRecurrence extends Attention {
  /// A new rule for one plan or session.
  UpdateRule rule(AttentionShape shape);

  /// Rows of a chunk.
  default int chunk(AttentionShape shape) {
    return RecurrentPlan.DEFAULT_CHUNK;
  }

  @Override
  default Capabilities capabilities() {
    return States.capabilities();
  }

  @Override
  default List<TensorSpec> results(AttentionShape shape) {
    return States.results(shape);
  }

  @Override
  default Cost cost(AttentionShape shape, Mask mask, int threads) {
    return RecurrentCost.of(shape, mask, threads, rule(shape), chunk(shape), 0);
  }

  @Override
  default AttentionPlan newPlan(PlanRequest request) {
    return new RecurrentPlan(request, rule(request.shape()), chunk(request.shape()));
  }

  @Override
  default DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    return new RecurrentGradientPlan(request, rule(request.shape()), chunk(request.shape()));
  }

  @Override
  default GradientCost gradientCost(AttentionShape shape, Mask mask, int threads) {
    return RecurrentCost.gradient(shape, mask, threads, rule(shape), chunk(shape), 0);
  }

  @Override
  default DecodeSession decode(AttentionShape shape, int threads) {
    return new RecurrentSession(this, shape, threads, rule(shape));
  }
}
