// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention.testing;

import dev.crossover.attention.Attention;
import dev.crossover.attention.AttentionShape;
import dev.crossover.attention.DifferentiablePlan;
import dev.crossover.attention.Mask;
import dev.crossover.attention.TensorSpec;
import dev.crossover.attention.Tensors;
import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;

/// Runs forward and backward passes into tensors filled with NaN.
final class GradientRuns {
  private GradientRuns() {}

  /// The gradients of every differentiable input, parameters included, by `grad_NAME`.
  static Tensors run(
      Attention attention,
      AttentionShape shape,
      Mask mask,
      int threads,
      Tensors inputs,
      Tensor gradOut,
      Tensors upstream) {
    DifferentiablePlan plan = attention.differentiable(shape, mask, threads);
    Runs.forward(plan, attention, shape, inputs);
    Tensors gradients = places(attention, shape, inputs);
    plan.backward(gradOut, upstream, gradients);
    return gradients;
  }

  /// Tensors full of NaN for the gradients of all differentiable inputs that are given or drawn.
  static Tensors places(Attention attention, AttentionShape shape, Tensors inputs) {
    Tensors places = Tensors.NONE;
    for (TensorSpec spec : attention.inputs(shape)) {
      boolean absent = spec.role() == TensorSpec.Role.OPTIONAL && !inputs.has(spec.name());
      if (spec.differentiable() && !absent) {
        places = places.with("grad_" + spec.name(), Runs.nan(spec.shape().toArray()));
      }
    }
    return places;
  }

  /// Tensors full of NaN for all extra results.
  static Tensors results(Attention attention, AttentionShape shape) {
    Tensors results = Tensors.NONE;
    for (TensorSpec spec : attention.results(shape)) {
      results = results.with(spec.name(), Runs.nan(spec.shape().toArray()));
    }
    return results;
  }

  /// A drawn upstream gradient of the output.
  static Tensor outputGradient(Attention attention, AttentionShape shape, long seed) {
    return Draws.gaussian(seed, attention.outputShape(shape));
  }

  /// Drawn upstream gradients of all differentiable results.
  static Tensors upstream(Attention attention, AttentionShape shape, long seed) {
    Tensors upstream = Tensors.NONE;
    for (TensorSpec spec : attention.results(shape)) {
      if (spec.differentiable()) {
        String name = "grad_" + spec.name();
        long own = Draws.seedFor(seed, name);
        upstream = upstream.with(name, Draws.gaussian(own, spec.shape().toArray()));
      }
    }
    return upstream;
  }

  /// Largest absolute value.
  static double largest(Tensor tensor) {
    double largest = 0;
    for (float value : tensor.data()) {
      largest = Math.max(largest, Math.abs(value));
    }
    return largest;
  }
}
