// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import org.jspecify.annotations.Nullable;

/// The tensors a mechanism reads for one shape: given ones checked against [Attention#inputs],
/// absent parameters drawn once from the mechanism's seed.
///
/// Binding again replaces what was bound and allocates nothing. Used by one caller at a time.
public final class InputBinding implements BoundTensors {
  private final String mechanism;
  private final TensorBinding tensors;
  private final @Nullable Tensor[] drawn;
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
    tensors = new TensorBinding(mechanism, "inputs", "", attention.inputs(shape));
    drawn = new Tensor[tensors.size()];
    long drawnBytes = 0;
    for (int i = 0; i < drawn.length; i++) {
      TensorSpec spec = tensors.spec(i);
      if (spec.role() == TensorSpec.Role.PARAMETER) {
        Tensor tensor = drawnBefore == null ? null : drawnBefore.drawn(spec);
        if (tensor == null) {
          tensor = spec.drawn(Draws.seedFor(attention.seed(), spec.name()));
        }
        drawn[i] = tensor;
        drawnBytes += (long) tensor.size() * Float.BYTES;
      }
    }
    parameterBytes = drawnBytes;
  }

  private @Nullable Tensor drawn(TensorSpec like) {
    for (int i = 0; i < drawn.length; i++) {
      Tensor tensor = drawn[i];
      if (tensor != null
          && tensors.spec(i).name().equals(like.name())
          && tensor.hasShape(like.shape().toArray())) {
        return tensor;
      }
    }
    return null;
  }

  /// Checks and takes the given tensors; parameters that are absent are the drawn ones.
  ///
  /// @throws IllegalArgumentException if a tensor is missing, unknown or misshapen
  public void bind(Tensors inputs) {
    tensors.bind(inputs);
    for (int i = 0; i < drawn.length; i++) {
      if (tensors.tensor(i) == null) {
        TensorSpec spec = tensors.spec(i);
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
        tensors.complete(i, drawn[i]);
      }
    }
  }

  @Override
  public float[] get(String name) {
    return tensors.get(name);
  }

  @Override
  public boolean has(String name) {
    return tensors.has(name);
  }

  /// Bytes of the drawn parameters.
  public long parameterBytes() {
    return parameterBytes;
  }
}
