// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import java.util.List;

/// Cuts tokens out of a mechanism's inputs, along the axes of positions: what a decoding session is
/// given step by step. Parameters belong to the model and stay whole, and so does what has no axis
/// of positions.
public final class TokenSlices {
  private final List<TensorSpec> specs;
  private final Tensors whole;

  /// @param attention the mechanism
  /// @param shape the whole problem, nq = nk
  /// @param whole its inputs, as [Attention#inputs] says
  public TokenSlices(Attention attention, AttentionShape shape, Tensors whole) {
    this.specs = attention.inputs(shape);
    this.whole = whole;
  }

  /// Inputs of the tokens from `from` inclusive to `to` exclusive; what is cut is copied.
  public Tensors range(int from, int to) {
    Tensors range = Tensors.NONE;
    for (TensorSpec spec : specs) {
      if (whole.has(spec.name())) {
        Tensor tensor = whole.get(spec.name());
        if (spec.role() != TensorSpec.Role.PARAMETER) {
          for (int d = 0; d < tensor.rank(); d++) {
            Axis axis = spec.axes().get(d);
            if (axis.isPosition()) {
              tensor = cut(tensor, d, from * axis.rows(), to * axis.rows());
            }
          }
        }
        range = range.with(spec.name(), tensor);
      }
    }
    return range;
  }

  private static Tensor cut(Tensor tensor, int dimension, int from, int to) {
    int[] shape = tensor.shape();
    int inner = 1;
    for (int d = dimension + 1; d < shape.length; d++) {
      inner *= shape[d];
    }
    int outer = 1;
    for (int d = 0; d < dimension; d++) {
      outer *= shape[d];
    }
    int n = shape[dimension];
    shape[dimension] = to - from;
    Tensor part = Tensor.zeros(shape);
    int length = (to - from) * inner;
    for (int o = 0; o < outer; o++) {
      System.arraycopy(tensor.data(), (o * n + from) * inner, part.data(), o * length, length);
    }
    return part;
  }
}
