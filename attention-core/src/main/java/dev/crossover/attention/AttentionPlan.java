// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// An attention mechanism made ready for one shape, mask and number of threads.
///
/// Everything is allocated when the plan is built: `forward` allocates nothing, may be called again
/// and again, and gives the same bits for any number of threads. A plan is used by one caller at a
/// time; two plans run concurrently.
///
/// Subclasses allocate through [#scratch], so that [#scratchBytes] is exact, read their inputs with
/// [#input] and write [#out].
public abstract class AttentionPlan {
  /// The checked request this plan was built from.
  protected final PlanRequest request;

  /// The problem's sizes.
  protected final AttentionShape shape;

  /// Which keys each query may see.
  protected final Mask mask;

  /// Runs tasks on this plan's threads.
  protected final Workers workers;

  /// Allocator of this plan's arrays; use it in the constructor only.
  protected final Scratch scratch = new Scratch();

  /// The elements of the output that the current `forward` writes.
  protected float[] out = {};

  private final String mechanism;
  private final InputBinding inputs;
  private final TensorBinding results;
  private final int[] outputShape;
  private Tensors given = Tensors.NONE;
  private @Nullable Tensor written;

  /// Draws the mechanism's parameters from its seed and prepares the checks of `forward`.
  protected AttentionPlan(PlanRequest request) {
    this.request = request;
    this.shape = request.shape();
    this.mask = request.mask();
    this.workers = request.workers();
    Attention attention = request.attention();
    mechanism = attention.name();
    inputs = new InputBinding(attention, shape);
    results = new TensorBinding(mechanism, "results", "", attention.results(shape));
    outputShape = attention.outputShape(shape);
  }

  /// A plan of another mechanism as a part of this one: on the same threads and executor, its
  /// scratch counted here. Use it in the constructor only.
  ///
  /// @throws IllegalArgumentException if the shape or mask is outside its capabilities, by name
  protected final AttentionPlan part(Attention mechanism, AttentionShape of, Mask under) {
    PlanRequest asked = PlanRequest.checked(mechanism, of, under, threads());
    AttentionPlan plan = mechanism.newPlan(asked.on(request.executor()));
    scratch.include(plan.scratchBytes());
    return plan;
  }

  /// Computes the attention.
  ///
  /// @param inputs tensors named and shaped as [Attention#inputs] says; unchanged afterwards
  /// @param output shaped as [Attention#outputShape] says; every element is written
  /// @throws IllegalArgumentException if a tensor is missing, unknown, misshapen, or if the output
  ///     shares storage with an input
  public final void forward(Tensors inputs, Tensor output) {
    forward(inputs, output, Tensors.NONE);
  }

  /// Computes the attention and the extra results the caller supplies tensors for.
  ///
  /// @param inputs tensors named and shaped as [Attention#inputs] says; unchanged afterwards
  /// @param output shaped as [Attention#outputShape] says; every element is written
  /// @param results tensors named and shaped as [Attention#results] says, any subset of them
  /// @throws IllegalArgumentException if a tensor is missing, unknown, misshapen, or if an output
  ///     shares storage with an input or another output
  public final void forward(Tensors inputs, Tensor output, Tensors results) {
    this.inputs.bind(inputs);
    TensorBinding.requireShape(mechanism, "output", outputShape, output);
    for (int i = 0; i < inputs.size() && output.size() > 0; i++) {
      if (inputs.tensor(i).data() == output.data()) {
        throw new IllegalArgumentException(
            mechanism
                + ": output must not share storage with an input, but was that of "
                + inputs.name(i));
      }
    }
    this.results.bind(results);
    this.results.requireApart(inputs);
    this.results.requireApart("output", output);
    this.results.requireApart(results);
    given = inputs;
    written = output;
    out = output.data();
    compute(output);
  }

  /// The tensors that the last `forward` was given.
  final Tensors boundInputs() {
    return given;
  }

  /// The output that the last `forward` wrote; absent before it.
  final @Nullable Tensor boundOutput() {
    return written;
  }

  /// Bytes this plan allocated for its own use, exactly; equals the declared [Cost#scratchBytes].
  public final long scratchBytes() {
    return scratch.bytes();
  }

  /// Bytes of the parameters drawn from the seed when the plan was built.
  public final long parameterBytes() {
    return inputs.parameterBytes();
  }

  /// Number of threads.
  public final int threads() {
    return request.threads();
  }

  /// Runs a plan that this one is built upon, on the inputs that this one was given; its results
  /// are written to `results`.
  protected final void runNested(AttentionPlan nested, Tensor output, Tensors results) {
    nested.forward(given, output, results);
  }

  /// Writes every element of `output` from the inputs bound by `forward`. Allocates nothing.
  protected abstract void compute(Tensor output);

  /// The inputs bound by `forward`: those given, and parameters drawn from the seed.
  protected final BoundTensors inputs() {
    return inputs;
  }

  /// The elements of an input: the one given, or the parameter drawn from the seed.
  ///
  /// @throws IllegalStateException if it is optional and absent
  protected final float[] input(String name) {
    return inputs.get(name);
  }

  /// Whether an optional input was given.
  protected final boolean hasInput(String name) {
    return inputs.has(name);
  }

  /// Whether the caller asked for an extra result.
  protected final boolean wantsResult(String name) {
    return results.has(name);
  }

  /// The elements of an extra result the caller asked for.
  ///
  /// @throws IllegalStateException if the caller did not
  protected final float[] result(String name) {
    return results.get(name);
  }
}
