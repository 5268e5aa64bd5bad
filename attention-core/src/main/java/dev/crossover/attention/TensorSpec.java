// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import java.util.List;

/// What a mechanism says about one of its named tensors: axes, role, and how to draw one.
///
/// @param name the golden files' name, for example `log_decay`
/// @param axes what runs along each dimension; copied
/// @param shape their sizes for the attention shape it was asked for
/// @param role whether it must be given, is drawn from the seed when absent, or is an option that
///     is off
/// @param meaning one line for documentation, with the distribution it is drawn from
/// @param draw makes one from a seed; for optional tensors it is what a demonstration would use
/// @param differentiable whether gradients flow to it (inputs) or from it (results); index and mask
///     tensors and constants of the published mechanism say no
public record TensorSpec(
    String name,
    List<Axis> axes,
    Shape shape,
    Role role,
    String meaning,
    Draw draw,
    boolean differentiable) {

  /// Refuses axes and sizes of different number.
  public TensorSpec {
    axes = List.copyOf(axes);
    if (axes.size() != shape.sizes().size()) {
      throw new IllegalArgumentException(
          name + ": axes must be as many as the sizes of " + shape + ", but were " + axes);
    }
  }

  /// A tensor of some role, through which gradients flow.
  ///
  /// @param s the problem that gives the axes their sizes
  public TensorSpec(
      String name, Role role, String meaning, Draw draw, AttentionShape s, Axis... axes) {
    this(name, List.of(axes), Shape.of(Axis.sizes(s, List.of(axes))), role, meaning, draw, true);
  }

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
  public record Shape(List<Integer> sizes) {
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
  public static TensorSpec input(
      String name, String meaning, Draw draw, AttentionShape s, Axis... axes) {
    return new TensorSpec(name, Role.INPUT, meaning, draw, s, axes);
  }

  /// A tensor that is drawn from the mechanism's seed when it is not given.
  public static TensorSpec parameter(
      String name, String meaning, Draw draw, AttentionShape s, Axis... axes) {
    return new TensorSpec(name, Role.PARAMETER, meaning, draw, s, axes);
  }

  /// A tensor whose absence switches an option off.
  public static TensorSpec optional(
      String name, String meaning, Draw draw, AttentionShape s, Axis... axes) {
    return new TensorSpec(name, Role.OPTIONAL, meaning, draw, s, axes);
  }

  /// An extra result.
  public static TensorSpec result(String name, String meaning, AttentionShape s, Axis... axes) {
    return new TensorSpec(name, Role.RESULT, meaning, (_, sizes) -> Tensor.zeros(sizes), s, axes);
  }

  /// The same tensor, through which no gradient flows.
  public TensorSpec constant() {
    return new TensorSpec(name, axes, shape, role, meaning, draw, false);
  }

  /// The same tensor under another name and in another role.
  public TensorSpec as(String newName, Role newRole) {
    return new TensorSpec(newName, axes, shape, newRole, meaning, draw, differentiable);
  }

  /// Number of the first dimension along which one of these runs, or −1.
  public int dimension(Axis... any) {
    return Axis.dimension(axes, any);
  }

  /// Whether one of these runs along some dimension.
  public boolean has(Axis... any) {
    return dimension(any) >= 0;
  }

  /// Draws a tensor of this spec's shape.
  public Tensor drawn(long seed) {
    return draw.draw(seed, shape.toArray());
  }
}
