package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;

/// The gradients of an attention mechanism, made ready for one shape, mask and number of threads.
///
/// Like an [AttentionPlan] it allocates everything when it is built, is used by one caller at a
/// time, and gives the same bits for any number of threads.
public interface BackwardPlan {

  /// Computes the gradients of `Σ output ∘ gradOutput`.
  ///
  /// @param inputs what the forward pass read
  /// @param output what the forward pass wrote
  /// @param results extra results that the forward pass wrote, as the mechanism asks for them
  /// @param gradOutput gradient with respect to the output, shaped like it
  /// @param gradients written: `grad_NAME`, shaped like the input NAME, for every input the
  ///     mechanism has gradients for
  /// @throws IllegalArgumentException if a tensor is missing, unknown or misshapen
  void backward(
      Tensors inputs, Tensor output, Tensors results, Tensor gradOutput, Tensors gradients);

  /// Bytes this plan allocated for its own use, exactly.
  long scratchBytes();
}
