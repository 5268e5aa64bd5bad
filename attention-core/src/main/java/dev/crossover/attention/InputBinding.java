// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import org.jspecify.annotations.Nullable;

/// The tensors a mechanism reads for one shape: given ones checked against [Attention#inputs],
/// absent parameters drawn once from the mechanism's seed.
///
/// Binding again replaces what was bound and allocates nothing. Used by one caller at a time.
public final class InputBinding implements BoundTensors {
  private final String mechanism;
  private final TensorSpec[] specs;
  private final int[][] shapes;
  private final @Nullable Tensor[] drawn;
  private final @Nullable Tensor[] bound;
  private final long parameterBytes;

  /// Draws the parameters of a mechanism for a shape.
  public InputBinding(Attention attention, AttentionShape shape) {
    this(attention, shape, null);
  }

  /// Prepares for another shape of the same mechanism.
  ///
  /// @param drawnBefore whose parameters are used again where their shapes are the same
  InputBinding(Attention attention, AttentionShape shape, @Nullable InputBinding drawnBefore) {
    mechanism = attention.name();
    List<TensorSpec> inputs = attention.inputs(shape);
    specs = inputs.toArray(TensorSpec[]::new);
    shapes = inputs.stream().map(spec -> spec.shape().toArray()).toArray(int[][]::new);
    drawn = new Tensor[specs.length];
    bound = new Tensor[specs.length];
    long drawnBytes = 0;
    for (int i = 0; i < specs.length; i++) {
      if (specs[i].role() == TensorSpec.Role.PARAMETER) {
        Tensor tensor = drawnBefore == null ? null : drawnBefore.drawn(specs[i].name(), shapes[i]);
        if (tensor == null) {
          tensor = specs[i].drawn(Draws.seedFor(attention.seed(), specs[i].name()));
        }
        drawn[i] = tensor;
        drawnBytes += (long) tensor.size() * Float.BYTES;
      }
    }
    parameterBytes = drawnBytes;
  }

  private @Nullable Tensor drawn(String name, int[] sizes) {
    for (int i = 0; i < specs.length; i++) {
      Tensor tensor = drawn[i];
      if (tensor != null && specs[i].name().equals(name) && tensor.hasShape(sizes)) {
        return tensor;
      }
    }
    return null;
  }

  /// Checks and takes the given tensors; parameters that are absent are the drawn ones.
  ///
  /// @throws IllegalArgumentException if a tensor is missing, unknown or misshapen
  public void bind(Tensors inputs) {
    int known = 0;
    for (int i = 0; i < specs.length; i++) {
      TensorSpec spec = specs[i];
      if (inputs.has(spec.name())) {
        Tensor tensor = inputs.get(spec.name());
        if (!tensor.hasShape(shapes[i])) {
          AttentionInputs.requireShape(mechanism, spec, tensor);
        }
        bound[i] = tensor;
        known++;
      } else {
        bound[i] = drawn[i];
        if (spec.role() == TensorSpec.Role.INPUT) {
          throw new IllegalArgumentException(
              mechanism
                  + ": inputs must contain "
                  + spec.name()
                  + " "
                  + spec.shape()
                  + ", but were "
                  + inputs.names());
        }
      }
    }
    if (known != inputs.size()) {
      throw new IllegalArgumentException(
          mechanism
              + ": inputs must be among "
              + Arrays.stream(specs).map(TensorSpec::name).toList()
              + ", but were "
              + inputs.names());
    }
  }

  @Override
  public float[] get(String name) {
    for (int i = 0; i < specs.length; i++) {
      Tensor tensor = bound[i];
      if (tensor != null && specs[i].name().equals(name)) {
        return tensor.data();
      }
    }
    throw new IllegalStateException(name + " is not bound");
  }

  @Override
  public boolean has(String name) {
    for (int i = 0; i < specs.length; i++) {
      if (specs[i].name().equals(name)) {
        return bound[i] != null;
      }
    }
    return false;
  }

  /// Bytes of the drawn parameters.
  public long parameterBytes() {
    return parameterBytes;
  }
}
