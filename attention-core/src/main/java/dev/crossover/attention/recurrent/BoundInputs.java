package dev.crossover.attention.recurrent;

/// The tensors bound for one call, by name.
public interface BoundInputs {
  /// Whether an optional tensor was given.
  boolean has(String name);

  /// The elements of a tensor.
  ///
  /// @throws IllegalStateException if it is optional and absent
  float[] get(String name);
}
