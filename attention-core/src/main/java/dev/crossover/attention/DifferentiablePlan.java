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

  private final TensorSpec[] specs;
  private final String[] names;
  private final int[][] shapes;
  private final @Nullable Tensor[] gradients;
  private final TensorSpec[] resultSpecs;
  private final String[] resultNames;
  private final int[][] resultShapes;
  private final @Nullable Tensor[] resultGradients;
  private final int[] outputShape;
  private final String mechanism;
  private final BoundTensors boundGradients =
      new BoundTensors() {
        @Override
        public boolean has(String name) {
          return wantsGradient(name);
        }

        @Override
        public float[] get(String name) {
          return gradient(name);
        }
      };
  private final BoundTensors boundResultGradients =
      new BoundTensors() {
        @Override
        public boolean has(String name) {
          return hasResultGradient(name);
        }

        @Override
        public float[] get(String name) {
          return resultGradient(name);
        }
      };
  private @Nullable Tensor gradOutput;

  /// Prepares the checks of `forward` and `backward`.
  protected DifferentiablePlan(PlanRequest request) {
    super(request);
    Attention attention = request.attention();
    mechanism = attention.name();
    specs = differentiable(attention.inputs(shape));
    names = gradientNames(specs);
    shapes = shapes(specs);
    outputShape = attention.outputShape(shape);
    gradients = new Tensor[specs.length];
    resultSpecs = differentiable(attention.results(shape));
    resultNames = gradientNames(resultSpecs);
    resultShapes = shapes(resultSpecs);
    resultGradients = new Tensor[resultSpecs.length];
  }

  private static TensorSpec[] differentiable(List<TensorSpec> all) {
    return all.stream().filter(TensorSpec::differentiable).toArray(TensorSpec[]::new);
  }

  private static int[][] shapes(TensorSpec[] specs) {
    return Arrays.stream(specs).map(spec -> spec.shape().toArray()).toArray(int[][]::new);
  }

  private static String[] gradientNames(TensorSpec[] specs) {
    return Arrays.stream(specs).map(spec -> "grad_" + spec.name()).toArray(String[]::new);
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
    return boundGradients;
  }

  /// Whether the caller asked for the gradient of an input, by the input's name.
  protected final boolean wantsGradient(String input) {
    return find(specs, gradients, input) != null;
  }

  /// Where to add the gradient of an input, by the input's name; null where nobody asked for it.
  protected final float @Nullable [] wanted(String input) {
    Tensor tensor = find(specs, gradients, input);
    return tensor == null ? null : tensor.data();
  }

  /// Where to add the gradient of an input, by the input's name.
  ///
  /// @throws IllegalStateException if it was not asked for
  protected final float[] gradient(String input) {
    Tensor tensor = find(specs, gradients, input);
    if (tensor == null) {
      throw new IllegalStateException("grad_" + input + " is not bound");
    }
    return tensor.data();
  }

  /// The upstream gradients of the results, by the results' names.
  protected final BoundTensors resultGradients() {
    return boundResultGradients;
  }

  /// Whether a result has an upstream gradient.
  protected final boolean hasResultGradient(String result) {
    return find(resultSpecs, resultGradients, result) != null;
  }

  /// The elements of a result's upstream gradient.
  ///
  /// @throws IllegalStateException if there is none
  protected final float[] resultGradient(String result) {
    Tensor tensor = find(resultSpecs, resultGradients, result);
    if (tensor == null) {
      throw new IllegalStateException("grad_" + result + " is not bound");
    }
    return tensor.data();
  }

  private static @Nullable Tensor find(TensorSpec[] specs, @Nullable Tensor[] bound, String name) {
    for (int i = 0; i < specs.length; i++) {
      if (specs[i].name().equals(name)) {
        return bound[i];
      }
    }
    return null;
  }

  private void run(Tensor newGradOutput, Tensors upstream, Tensors written, boolean add) {
    Tensor output = boundOutput();
    if (output == null) {
      throw new IllegalStateException(
          mechanism + ": backward must follow forward, but nothing was computed yet");
    }
    if (!newGradOutput.hasShape(outputShape)) {
      throw misshapen("grad_out", outputShape, newGradOutput);
    }
    gradOutput = newGradOutput;
    bindUpstream(upstream);
    bindGradients(output, upstream, written);
    if (!add) {
      for (Tensor gradient : gradients) {
        if (gradient != null) {
          Arrays.fill(gradient.data(), 0);
        }
      }
    }
    differentiate(newGradOutput.data());
  }

  private void bindUpstream(Tensors upstream) {
    int known = 0;
    for (int i = 0; i < resultSpecs.length; i++) {
      Tensor tensor = null;
      if (upstream.has(resultNames[i])) {
        tensor = upstream.get(resultNames[i]);
        if (!tensor.hasShape(resultShapes[i])) {
          throw misshapen(resultNames[i], resultShapes[i], tensor);
        }
        known++;
      }
      resultGradients[i] = tensor;
    }
    if (known != upstream.size()) {
      throw unknown("gradients of results", resultNames, upstream);
    }
  }

  private void bindGradients(Tensor output, Tensors upstream, Tensors written) {
    int known = 0;
    for (int i = 0; i < specs.length; i++) {
      Tensor tensor = null;
      if (written.has(names[i])) {
        tensor = written.get(names[i]);
        if (!tensor.hasShape(shapes[i])) {
          throw misshapen(names[i], shapes[i], tensor);
        }
        if (specs[i].role() == TensorSpec.Role.OPTIONAL && !hasInput(specs[i].name())) {
          throw new IllegalArgumentException(
              mechanism
                  + ": "
                  + names[i]
                  + " must belong to a given input, but "
                  + specs[i].name()
                  + " is absent");
        }
        requireApart(names[i], tensor, output, upstream, written);
        known++;
      }
      gradients[i] = tensor;
    }
    if (known != written.size()) {
      throw unknown("gradients", names, written);
    }
  }

  private void requireApart(
      String name, Tensor tensor, Tensor output, Tensors upstream, Tensors written) {
    if (tensor.size() == 0) {
      return;
    }
    float[] data = tensor.data();
    String other = sharing(data, boundInputs());
    if (other == null && data == output.data()) {
      other = "out";
    }
    if (other == null && gradOutput != null && data == gradOutput.data()) {
      other = "grad_out";
    }
    if (other == null) {
      other = sharing(data, upstream);
    }
    for (int i = 0; i < written.size() && other == null; i++) {
      if (!written.name(i).equals(name) && written.tensor(i).data() == data) {
        other = written.name(i);
      }
    }
    if (other != null) {
      throw new IllegalArgumentException(
          mechanism + ": " + name + " must not share storage, but was that of " + other);
    }
  }

  private static @Nullable String sharing(float[] data, Tensors tensors) {
    for (int i = 0; i < tensors.size(); i++) {
      if (tensors.tensor(i).data() == data) {
        return tensors.name(i);
      }
    }
    return null;
  }

  private IllegalArgumentException misshapen(String name, int[] expected, Tensor tensor) {
    return new IllegalArgumentException(
        mechanism
            + ": "
            + name
            + " must have shape "
            + Arrays.toString(expected)
            + ", but was "
            + Arrays.toString(tensor.shape()));
  }

  private IllegalArgumentException unknown(String what, String[] known, Tensors given) {
    return new IllegalArgumentException(
        mechanism
            + ": "
            + what
            + " must be among "
            + Arrays.toString(known)
            + ", but were "
            + given.names());
  }
}
