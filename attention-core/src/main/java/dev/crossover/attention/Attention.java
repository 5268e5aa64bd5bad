// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.mechanism.Mechanism;
import dev.crossover.attention.random.Draws;
import java.util.List;
import java.util.Map;

/// An attention mechanism: an immutable value that is planned once for a shape and then run.
///
/// Implementations are records of validated parameters with the paper's defaults, annotated with
/// [Mechanism]; the annotation and the record's components are what the command line, the
/// documentation and the conformance command read.
///
/// ```java
/// AttentionPlan plan = attention.plan(shape, Mask.causal(), 2);
/// plan.forward(Tensors.qkv(query, key, value), output);
/// ```
public interface Attention {

  /// What this mechanism, with these parameters, can do.
  Capabilities capabilities();

  /// Counted work and memory of this implementation.
  ///
  /// @param shape the problem, within [#capabilities()]
  /// @param mask the mask, within [#capabilities()]
  /// @param threads number of threads of the plan, at least 1
  /// @return floating-point operations and bytes of one forward pass; scratch bytes exactly
  Cost cost(AttentionShape shape, Mask mask, int threads);

  /// Builds a plan; called by [#plan] after the request has been checked against the capabilities.
  ///
  /// @param request the checked shape, mask and threads
  AttentionPlan newPlan(PlanRequest request);

  /// The tensors this mechanism reads: by default `q`, `k`, `v`.
  ///
  /// @param shape the problem, from which the sizes of the tensors follow
  /// @return required ones, parameters and options; names are unique
  default List<TensorSpec> inputs(AttentionShape shape) {
    return AttentionInputs.qkv(shape);
  }

  /// The extra results this mechanism can write besides the output: by default none.
  ///
  /// @param shape the problem, from which the sizes of the tensors follow
  /// @return what a caller may ask for beside the output; none has to be
  default List<TensorSpec> results(AttentionShape shape) {
    return List.of();
  }

  /// What runs along each dimension of the output: `[batch, heads, query, value_dim]` unless a
  /// mechanism is a layer.
  default List<Axis> outputAxes() {
    return List.of(Axis.BATCH, Axis.HEADS, Axis.QUERY, Axis.VALUE_DIM);
  }

  /// Sizes of the output.
  ///
  /// @param shape the problem
  /// @return one size for each of [#outputAxes]
  default int[] outputShape(AttentionShape shape) {
    return Axis.sizes(shape, outputAxes());
  }

  /// The problem's sizes as read from given tensors: by default from `q`, `k`, `v`.
  ///
  /// @param inputs at least the required ones of [#inputs]
  /// @return a shape for which these inputs fit
  /// @throws IllegalArgumentException if a tensor is missing or the shapes do not fit together
  default AttentionShape shapeOf(Tensors inputs) {
    return AttentionInputs.shapeOf(inputs);
  }

  /// Adapts plain queries, keys and values to this mechanism: inputs it does not take are dropped,
  /// per-token inputs it needs beyond them are drawn from `seed` as [#inputs] documents.
  ///
  /// Mechanisms that share queries and keys or take a model-width input override this.
  ///
  /// @param shape the problem that `qkv` has
  /// @param qkv tensors named `q`, `k`, `v`, with whatever else is given
  /// @param seed of what is drawn; parameters of the mechanism are drawn from [#seed] instead
  /// @return what `forward` of a plan takes
  default Tensors adapt(AttentionShape shape, Tensors qkv, long seed) {
    return AttentionInputs.complete(this, shape, qkv, seed);
  }

  /// The exact attention this mechanism approximates on its own (adapted) inputs: queries, keys,
  /// values and the factor on their dot products. By default `q`, `k`, `v` and 1/√headDim.
  ///
  /// Meaningless for mechanisms that approximate nothing.
  ///
  /// @param shape the problem
  /// @param mask of the problem
  /// @param inputs as [#adapt] gives them
  /// @return queries, keys and values of exact attention, whose lengths and heads may differ from
  ///     those of the problem
  default ExactTarget exactTarget(AttentionShape shape, Mask mask, Tensors inputs) {
    return new ExactTarget(
        shape, mask, inputs.get("q"), inputs.get("k"), inputs.get("v"), defaultScale(shape));
  }

  /// Gradients of this mechanism's own inputs, from those of the queries and keys of [#exactTarget]
  /// where these are made of its inputs: what its own gradients approximate.
  ///
  /// @param inputs as given to [#exactTarget]
  /// @param gradQuery of the target's queries, `[batch, heads, nq, d]`
  /// @param gradKey of the target's keys, `[batch, kvHeads, nk, d]`
  /// @return by the inputs' names; empty where the target's queries and keys are inputs themselves
  default Map<String, double[]> targetGradients(
      Tensors inputs, double[] gradQuery, double[] gradKey) {
    return Map.of();
  }

  /// The seed of everything this mechanism draws.
  default long seed() {
    return Draws.DEFAULT_SEED;
  }

  /// The mechanism's name, as on the command line.
  default String name() {
    return Mechanism.Names.of(getClass());
  }

  /// Checks the request against the capabilities and allocates everything a forward pass needs.
  ///
  /// @param shape the problem
  /// @param mask which keys each query may see
  /// @param threads number of threads, at least 1; any number gives the same bits
  /// @return a plan for one caller at a time
  /// @throws IllegalArgumentException if the shape or mask is outside the capabilities, or a
  ///     product of sizes exceeds an array, by name
  default AttentionPlan plan(AttentionShape shape, Mask mask, int threads) {
    try {
      return newPlan(PlanRequest.checked(this, shape, mask, threads));
    } catch (ArithmeticException e) {
      throw shape.tooLarge(name(), e);
    }
  }

  /// Checks the request against the capabilities and builds a plan with a backward pass.
  ///
  /// @param shape the problem
  /// @param mask which keys each query may see
  /// @param threads number of threads, at least 1; any number gives the same bits
  /// @return a plan for one caller at a time
  /// @throws IllegalArgumentException if the shape or mask is outside the capabilities, by name
  /// @throws UnsupportedOperationException if [Capabilities#gradients()] is false, by name
  default DifferentiablePlan differentiable(AttentionShape shape, Mask mask, int threads) {
    if (!capabilities().gradients()) {
      throw new UnsupportedOperationException(
          name() + " must not be asked for gradients: not supported");
    }
    try {
      return newDifferentiablePlan(PlanRequest.checked(this, shape, mask, threads));
    } catch (ArithmeticException e) {
      throw shape.tooLarge(name(), e);
    }
  }

  /// Builds a plan with a backward pass; called by [#differentiable] after the request has been
  /// checked against the capabilities.
  ///
  /// @param request the checked shape, mask and threads
  default DifferentiablePlan newDifferentiablePlan(PlanRequest request) {
    throw new UnsupportedOperationException(
        name() + " must not be asked for gradients: not supported");
  }

  /// Counted work and memory of the backward pass of [#differentiable].
  ///
  /// @param shape the problem, within [#capabilities()]
  /// @param mask the mask, within [#capabilities()]
  /// @param threads number of threads of the plan, at least 1
  /// @return floating-point operations and bytes of one backward pass; scratch bytes exactly
  /// @throws UnsupportedOperationException if [Capabilities#gradients()] is false, by name
  default GradientCost gradientCost(AttentionShape shape, Mask mask, int threads) {
    throw new UnsupportedOperationException(
        name() + " must not be asked for gradients: not supported");
  }

  /// Opens a causal decoding session: one token in, its output out.
  ///
  /// @param shape the widths and heads; `keySeqLen` is the largest number of positions
  /// @param threads number of threads, at least 1
  /// @return a session for one caller at a time, at position 0
  /// @throws UnsupportedOperationException if [Capabilities#decoding()] is false, by name, with the
  ///     reason that [Mechanism#decoding()] states
  default DecodeSession decode(AttentionShape shape, int threads) {
    throw new UnsupportedOperationException(
        name() + " must not be asked to decode: " + Mechanism.Names.undecoded(getClass()));
  }

  /// Opens a single-threaded decoding session.
  ///
  /// @param shape the widths and heads; `keySeqLen` is the largest number of positions
  /// @return a session for one caller at a time, at position 0
  default DecodeSession decode(AttentionShape shape) {
    return decode(shape, 1);
  }

  /// 1/√headDim.
  ///
  /// @param shape the problem
  /// @return the factor on the dot products of queries and keys
  static double defaultScale(AttentionShape shape) {
    return 1 / Math.sqrt(shape.headDim());
  }
}
