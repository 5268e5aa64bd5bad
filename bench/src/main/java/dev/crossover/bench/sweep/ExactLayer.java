// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.sweep;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionPlan;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.Capabilities;
import dev.crossover.attention.Cost;
import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.Mask;
import dev.crossover.attention.PlanRequest;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.attention.tensor.Tensor;
import dev.crossover.bench.error.ExactRows;
import dev.crossover.models.layer.MultiHeadLayer;
import java.util.Arrays;
import java.util.List;
import java.util.Objects;
import org.jspecify.annotations.Nullable;

/// What a layer's mechanism approximates: the same layer, its projections drawn from the same seed,
/// with exact attention inside.
final class ExactLayer {
  private ExactLayer() {}

  /// The output of the layer around exact attention at some positions; what it holds at others
  /// means nothing.
  ///
  /// Attention is in double precision, the projections around it are the layer's own.
  ///
  /// @param core the mechanism inside, whose target of approximation is computed instead
  /// @param problem the layer's problem
  /// @param inputs the layer's inputs
  /// @param positions where exact attention is computed
  static Tensor output(Attention core, Problem problem, Tensors inputs, int[] positions) {
    Tensor output = problem.newOutput();
    new MultiHeadLayer(new ExactInside(core, positions))
        .plan(problem.shape(), problem.mask(), problem.point().threads())
        .forward(inputs, output);
    return output;
  }

  /// Plain exact attention behind the projections of a layer.
  static ExactTarget target(Problem problem, Tensors qkv) {
    ExactInside inside = new ExactInside(new Tiled(), new int[0]);
    Attention layer = new MultiHeadLayer(inside);
    AttentionShape shape = problem.shape();
    layer
        .plan(shape, problem.mask(), problem.point().threads())
        .forward(
            layer.adapt(shape, qkv, problem.point().seed()),
            Tensor.zeros(layer.outputShape(shape)));
    return Objects.requireNonNull(inside.target);
  }

  /// A mechanism's inputs, and exact attention of them.
  private static final class ExactInside implements Attention {
    private final Attention core;
    private final int[] positions;
    private @Nullable ExactTarget target;

    ExactInside(Attention core, int[] positions) {
      this.core = core;
      this.positions = positions;
    }

    @Override
    public String name() {
      return core.name();
    }

    @Override
    public long seed() {
      return core.seed();
    }

    @Override
    public Capabilities capabilities() {
      return core.capabilities();
    }

    @Override
    public List<TensorSpec> inputs(AttentionShape shape) {
      return core.inputs(shape);
    }

    @Override
    public Cost cost(AttentionShape shape, Mask mask, int threads) {
      return new Cost(0, 0, 0);
    }

    @Override
    public AttentionPlan newPlan(PlanRequest request) {
      return new Plan(request);
    }

    private final class Plan extends AttentionPlan {
      Plan(PlanRequest request) {
        super(request);
      }

      @Override
      protected void compute(Tensor output) {
        Tensors given = Tensors.NONE;
        for (TensorSpec spec : core.inputs(shape)) {
          if (hasInput(spec.name())) {
            given = given.with(spec.name(), Tensor.of(input(spec.name()), spec.shape().toArray()));
          }
        }
        ExactTarget exact = core.exactTarget(shape, mask, given);
        target = exact;
        Arrays.fill(output.data(), 0);
        ExactRows rows = ExactRows.of(exact, positions, threads());
        int width = rows.width();
        for (int row = 0; row < shape.problems() * positions.length; row++) {
          int at = row / positions.length * shape.querySeqLen() + positions[row % positions.length];
          for (int x = 0; x < width; x++) {
            output.data()[at * width + x] = (float) rows.values()[row * width + x];
          }
        }
      }
    }
  }
}
