// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

/// A mechanism with sizes that its options may leave open and given tensors tell, for example the
/// model width of a Transformer-XL, which its `position_projection` has.
public interface FittedAttention extends Attention {
  /// This mechanism with the sizes of given tensors; itself where they tell nothing new. A replay
  /// asks for it before [#inputs].
  Attention fittedTo(Tensors inputs);

  /// A mechanism with the sizes of given tensors, or itself where all are in its options.
  static Attention of(Attention attention, Tensors inputs) {
    return attention instanceof FittedAttention open ? open.fittedTo(inputs) : attention;
  }
}
