// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import dev.crossover.models.layer.Elementary.Function;

/// The second sub-layer of a block.
public enum FeedForwardKind {
  /// down(relu(up(x))).
  RELU(Function.RELU),
  /// down(gelu(up(x))), with the error function.
  GELU(Function.GELU),
  /// down(gelu(up(x))), with the hyperbolic tangent.
  GELU_TANH(Function.GELU_TANH),
  /// down(silu(gate(x)) · up(x)).
  SWIGLU(Function.SILU),
  /// There is none.
  NONE(Function.NONE);

  private final Function function;

  FeedForwardKind(Function function) {
    this.function = function;
  }

  Function function() {
    return function;
  }
}
