// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.mixed;

import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// Both passes of every mechanism on copies of its heads, one mechanism after the other.
final class MixedDifferentiable extends DifferentiablePlan {
  private final List<Part> parts = new ArrayList<>();

  /// One mechanism's heads.
  ///
  /// @param values copies of q, k, v and the output
  /// @param slopes copies of their gradients
  private record Part(
      HeadCopies values,
      Tensors inputs,
      HeadCopies slopes,
      Tensors gradients,
      DifferentiablePlan plan) {}

  MixedDifferentiable(PlanRequest request, Mixed mixed) {
    super(request);
    mixed
        .groups(shape.numHeads())
        .forEach(
            (attention, heads) -> {
              AttentionShape own = Mixed.of(shape, heads.size());
              HeadCopies values = new HeadCopies(own, heads, shape.numHeads(), scratch);
              HeadCopies slopes = new HeadCopies(own, heads, shape.numHeads(), scratch);
              DifferentiablePlan plan =
                  attention.newDifferentiablePlan(MixedPlan.checked(request, attention, own));
              scratch.include(plan.scratchBytes());
              kept.include(plan.keptBytes());
              parts.add(new Part(values, values.qkv(), slopes, slopes.gradients(), plan));
            });
  }

  @Override
  protected void compute(Tensor output) {
    for (int p = 0; p < parts.size(); p++) {
      Part part = parts.get(p);
      HeadCopies copies = part.values;
      copies.gather(input("q"), input("k"), input("v"));
      part.plan.forward(part.inputs, copies.output());
      copies.scatter(copies.output(), output.data());
    }
  }

  @Override
  protected void differentiate(float[] gradOut) {
    for (int p = 0; p < parts.size(); p++) {
      Part part = parts.get(p);
      HeadCopies slopes = part.slopes;
      slopes.gather(gradOut, slopes.output());
      part.plan.backward(slopes.output(), Tensors.NONE, part.gradients);
      add(slopes, slopes.query(), wanted("q"));
      add(slopes, slopes.key(), wanted("k"));
      add(slopes, slopes.value(), wanted("v"));
    }
  }

  private static void add(HeadCopies slopes, Tensor part, float @Nullable [] wanted) {
    if (wanted != null) {
      slopes.add(part, wanted);
    }
  }
}
