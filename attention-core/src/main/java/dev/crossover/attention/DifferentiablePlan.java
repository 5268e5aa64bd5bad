// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// A plan whose forward pass keeps what its backward pass needs.
///
/// ```java
/// DifferentiablePlan plan = attention.differentiable(shape, Mask.causal(), 2);
/// plan.forward(inputs, output);
/// plan.backward(gradOutput, Tensors.NONE.with("grad_q", gradQuery).with("grad_k", gradKey));
/// ```
///
/// `backward` computes the gradients of `Σ output ∘ gradOutput + Σ result ∘ gradResult` at the
/// inputs of the last `forward`, whose tensors (inputs, output and results) must be unchanged
/// since. It may be called any number of times after one `forward`. Gradients are named `grad_NAME`
/// after the input NAME; any subset of those whose spec is [TensorSpec#differentiable] may be asked
/// for.
///
/// The rules of [AttentionPlan] hold: everything is allocated when the plan is built and counted,
/// nothing when it runs; the bits do not depend on the number of threads; nothing passes a mask, in
/// either direction; a row that sees no key sends no gradient; an input without influence gets
/// exactly zero. Discrete choices (buckets, selected keys and blocks) are constants: gradients flow
/// through what was chosen.
///
/// Subclasses implement [#compute] (forward, keeping what is needed in arrays of [#kept]) and
/// [#differentiate], which only ever adds.
public abstract class DifferentiablePlan extends AttentionPlan {
  /// Allocator of what the forward pass keeps for the backward pass; use it in the constructor
  /// only.
  protected final Scratch kept = new Scratch();

  /// The elements of the output's gradient that the current `backward` was given.
  protected float[] gradOut = {};

  private final TensorBinding gradients;
  private final TensorBinding resultGradients;
  private final int[] outputShape;
  private final String mechanism;

  /// Prepares the checks of `forward` and `backward`.
  protected DifferentiablePlan(PlanRequest request) {
    super(request);
    Attention attention = request.attention();
    mechanism = attention.name();
    outputShape = attention.outputShape(shape);
    gradients = binding("gradients", attention.inputs(shape));
    resultGradients = binding("gradients of results", attention.results(shape));
  }

  private TensorBinding binding(String what, List<TensorSpec> all) {
    List<TensorSpec> differentiable = all.stream().filter(TensorSpec::differentiable).toList();
    return new TensorBinding(mechanism, what, "grad_", differentiable);
  }

  /// Writes the gradients that the caller supplies tensors for.
  ///
  /// @param newGradOutput gradient with respect to the output, shaped like it
  /// @param written `grad_NAME`, shaped like the input NAME; any subset, every element is written
  /// @throws IllegalStateException before the first `forward`
  /// @throws IllegalArgumentException if a tensor is unknown, misshapen, or shares storage
  public final void backward(Tensor newGradOutput, Tensors written) {
    backward(newGradOutput, Tensors.NONE, written);
  }

  /// Writes the gradients that the caller supplies tensors for.
  ///
  /// @param newGradOutput gradient with respect to the output, shaped like it
  /// @param upstream `grad_RESULT`, shaped like the result; absent ones are zero
  /// @param written `grad_NAME`, shaped like the input NAME; any subset, every element is written
  /// @throws IllegalStateException before the first `forward`
  /// @throws IllegalArgumentException if a tensor is unknown, misshapen, or shares storage
  public final void backward(Tensor newGradOutput, Tensors upstream, Tensors written) {
    run(newGradOutput, upstream, written, false);
  }

  /// Adds the gradients to the tensors that the caller supplies.
  ///
  /// @param newGradOutput gradient with respect to the output, shaped like it
  /// @param upstream `grad_RESULT`, shaped like the result; absent ones are zero
  /// @param added `grad_NAME`, shaped like the input NAME; any subset
  /// @throws IllegalStateException before the first `forward`
  /// @throws IllegalArgumentException if a tensor is unknown, misshapen, or shares storage
  public final void accumulate(Tensor newGradOutput, Tensors upstream, Tensors added) {
    run(newGradOutput, upstream, added, true);
  }

  /// Bytes that the forward pass keeps for the backward pass, exactly; equals the declared
  /// [GradientCost#keptBytes]. The caller's inputs and output are not counted.
  public final long keptBytes() {
    return kept.bytes();
  }

  /// Adds the gradients of the last forward pass to the arrays of [#gradient]. Allocates nothing.
  ///
  /// @param gradOut the elements of the output's gradient
  protected abstract void differentiate(float[] gradOut);

  /// The elements that the last forward pass wrote.
  ///
  /// @throws IllegalStateException before the first `forward`
  protected final float[] output() {
    Tensor output = boundOutput();
    if (output == null) {
      throw new IllegalStateException("out is not bound");
    }
    return output.data();
  }

  /// Where to add the gradients that the caller asked for, by the inputs' names.
  protected final BoundTensors gradients() {
    return gradients;
  }

  /// Whether the caller asked for the gradient of an input, by the input's name.
  protected final boolean wantsGradient(String input) {
    return gradients.has(input);
  }

  /// Where to add the gradient of an input, by the input's name; null where nobody asked for it.
  protected final float @Nullable [] wanted(String input) {
    return gradients.has(input) ? gradients.get(input) : null;
  }

  /// Where to add the gradient of an input, by the input's name.
  ///
  /// @throws IllegalStateException if it was not asked for
  protected final float[] gradient(String input) {
    return gradients.get(input);
  }

  /// The upstream gradients of the results, by the results' names.
  protected final BoundTensors resultGradients() {
    return resultGradients;
  }

  /// Whether a result has an upstream gradient.
  protected final boolean hasResultGradient(String result) {
    return resultGradients.has(result);
  }

  /// The elements of a result's upstream gradient.
  ///
  /// @throws IllegalStateException if there is none
  protected final float[] resultGradient(String result) {
    return resultGradients.get(result);
  }

  private void run(Tensor newGradOutput, Tensors upstream, Tensors written, boolean add) {
    Tensor output = boundOutput();
    if (output == null) {
      throw new IllegalStateException(
          mechanism + ": backward must follow forward, but nothing was computed yet");
    }
    TensorBinding.requireShape(mechanism, "grad_out", outputShape, newGradOutput);
    resultGradients.bind(upstream);
    gradients.bind(written);
    requireGivenInputs();
    gradients.requireApart(boundInputs());
    gradients.requireApart("out", output);
    gradients.requireApart("grad_out", newGradOutput);
    gradients.requireApart(upstream);
    gradients.requireApart(written);
    for (int i = 0; i < gradients.size() && !add; i++) {
      Tensor gradient = gradients.tensor(i);
      if (gradient != null) {
        Arrays.fill(gradient.data(), 0);
      }
    }
    gradOut = newGradOutput.data();
    differentiate(gradOut);
  }

  /// Refuses the gradient of an option that is off.
  private void requireGivenInputs() {
    for (int i = 0; i < gradients.size(); i++) {
      TensorSpec spec = gradients.spec(i);
      if (spec.role() == TensorSpec.Role.OPTIONAL
          && gradients.tensor(i) != null
          && !hasInput(spec.name())) {
        throw new IllegalArgumentException(
            mechanism
                + ": grad_"
                + spec.name()
                + " must belong to a given input, but "
                + spec.name()
                + " is absent");
      }
    }
  }
}
