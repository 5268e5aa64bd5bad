// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

/// The tensors bound for one call, by name: inputs, or places for gradients.
public interface BoundTensors {
  /// Whether a tensor of this name is bound: optional inputs that are absent and gradients that
  /// nobody asked for are not.
  boolean has(String name);

  /// The elements of a tensor, row-major.
  ///
  /// @throws IllegalStateException if it is not bound
  float[] get(String name);
}
