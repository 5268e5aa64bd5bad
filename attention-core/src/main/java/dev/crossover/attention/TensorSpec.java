// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;

/// What a mechanism says about one of its named tensors: shape, role, and how to draw one.
///
/// @param name the golden files' name, for example `log_decay`
/// @param shape the exact shape for the attention shape it was asked for; copied
/// @param role whether it must be given, is drawn from the seed when absent, or is an option that
///     is off
/// @param meaning one line for documentation, with the distribution it is drawn from
/// @param draw makes one from a seed; for optional tensors it is what a demonstration would use
/// @param differentiable whether gradients flow to it (inputs) or from it (results); index and mask
///     tensors and constants of the published mechanism say no
public record TensorSpec(
    String name, Shape shape, Role role, String meaning, Draw draw, boolean differentiable) {

  /// Part a tensor plays.
  public enum Role {
    /// Belongs to the tokens (q, k, v, gates): must be given; sweeps draw it.
    INPUT,
    /// Belongs to the model (projections, random features): drawn from the mechanism's seed if
    /// absent.
    PARAMETER,
    /// An option: absent means off.
    OPTIONAL,
    /// An extra result (`final_state`): written when the caller supplies a tensor for it.
    RESULT
  }

  /// Sizes of a tensor, compared by content.
  ///
  /// @param sizes the dimensions
  public record Shape(java.util.List<Integer> sizes) {
    /// A shape from plain sizes.
    public static Shape of(int... sizes) {
      return new Shape(Arrays.stream(sizes).boxed().toList());
    }

    /// The sizes as an array.
    public int[] toArray() {
      return sizes.stream().mapToInt(Integer::intValue).toArray();
    }

    @Override
    public String toString() {
      return sizes.toString();
    }
  }

  /// Makes a tensor from a seed.
  @FunctionalInterface
  public interface Draw {
    /// @param seed the stream's seed
    /// @param shape the tensor's shape
    /// @return a fresh tensor, the same for the same seed on every machine
    Tensor draw(long seed, int... shape);
  }

  /// A tensor that must be given.
  public static TensorSpec input(String name, String meaning, Draw draw, int... shape) {
    return new TensorSpec(name, Shape.of(shape), Role.INPUT, meaning, draw, true);
  }

  /// A tensor that is drawn from the mechanism's seed when it is not given.
  public static TensorSpec parameter(String name, String meaning, Draw draw, int... shape) {
    return new TensorSpec(name, Shape.of(shape), Role.PARAMETER, meaning, draw, true);
  }

  /// A tensor whose absence switches an option off.
  public static TensorSpec optional(String name, String meaning, Draw draw, int... shape) {
    return new TensorSpec(name, Shape.of(shape), Role.OPTIONAL, meaning, draw, true);
  }

  /// An extra result.
  public static TensorSpec result(String name, String meaning, int... shape) {
    return new TensorSpec(
        name, Shape.of(shape), Role.RESULT, meaning, (_, sizes) -> Tensor.zeros(sizes), true);
  }

  /// The same tensor, through which no gradient flows.
  public TensorSpec constant() {
    return new TensorSpec(name, shape, role, meaning, draw, false);
  }

  /// Draws a tensor of this spec's shape.
  public Tensor drawn(long seed) {
    return draw.draw(seed, shape.toArray());
  }
}
