// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.mixed;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/// Runs the plan of every mechanism on copies of its heads, one plan after the other.
final class MixedPlan extends AttentionPlan {
  private final List<Part> parts = new ArrayList<>();

  /// One mechanism's heads.
  private record Part(HeadCopies copies, Tensors inputs, AttentionPlan plan) {}

  MixedPlan(PlanRequest request, Mixed mixed) {
    super(request);
    mixed
        .groups(shape.numHeads())
        .forEach(
            (attention, heads) -> {
              AttentionShape own = Mixed.of(shape, heads.size());
              HeadCopies copies = new HeadCopies(own, heads, shape.numHeads(), scratch);
              AttentionPlan plan = attention.newPlan(checked(request, attention, own));
              scratch.include(plan.scratchBytes());
              parts.add(new Part(copies, copies.qkv(), plan));
            });
  }

  /// The request of one mechanism's heads, on the threads of the whole.
  static PlanRequest checked(PlanRequest request, Attention attention, AttentionShape own) {
    return PlanRequest.checked(attention, own, request.mask(), request.threads())
        .on(request.executor());
  }

  @Override
  protected void compute(Tensor output) {
    for (int p = 0; p < parts.size(); p++) {
      Part part = parts.get(p);
      HeadCopies copies = part.copies;
      copies.gather(input("q"), input("k"), input("v"));
      part.plan.forward(part.inputs, copies.output());
      copies.scatter(copies.output(), output.data());
    }
  }
}
