package dev.crossover.attention.linear;

/// The named tensors of one call, as a feature map sees them.
public interface FeatureInputs {
  /// Whether an optional tensor was given.
  boolean has(String name);

  /// The elements of a tensor, row-major.
  ///
  /// @throws IllegalStateException if it is optional and absent
  float[] get(String name);
}
