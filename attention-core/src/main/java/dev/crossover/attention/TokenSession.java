// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;

/// A decoding session whose mechanism takes one token into its state and then answers it: checks
/// the tensors, counts the positions and feeds prefixes token by token unless the mechanism can
/// take them together.
public abstract class TokenSession implements DecodeSession {
  /// Widths and heads; `keySeqLen` is the largest number of positions.
  protected final AttentionShape shape;

  /// The elements of the output that the current `step` writes.
  protected float[] out = {};

  private final Attention attention;
  private final InputBinding oneToken;
  private final int[] outputShape;
  private InputBinding current;
  private int position;

  /// Checks the widths and heads against the capabilities and draws the parameters from the seed.
  ///
  /// @throws IllegalArgumentException if the shape is outside the capabilities, by name
  protected TokenSession(Attention attention, AttentionShape shape) {
    this.attention = attention;
    this.shape = shape;
    AttentionShape one = shape.withSeqLens(1, 1);
    PlanRequest.checked(attention, one, Mask.causal(), 1);
    oneToken = new InputBinding(attention, one);
    current = oneToken;
    outputShape = attention.outputShape(one);
  }

  @Override
  public final void step(Tensors inputs, Tensor output) {
    oneToken.bind(inputs);
    TensorBinding.requireShape(attention.name(), "output", outputShape, output);
    current = oneToken;
    requireRoom(1);
    take(0, 1);
    out = output.data();
    answer(out);
    position++;
  }

  @Override
  public final void prefill(Tensors inputs) {
    AttentionShape given = attention.shapeOf(inputs);
    int tokens = given.keySeqLen();
    current = new InputBinding(attention, shape.withSeqLens(tokens, tokens), oneToken);
    current.bind(inputs);
    requireRoom(tokens);
    if (takeTogether(tokens)) {
      position += tokens;
      return;
    }
    for (int t = 0; t < tokens; t++) {
      take(t, tokens);
      position++;
    }
  }

  @Override
  public final int position() {
    return position;
  }

  @Override
  public final void reset() {
    position = 0;
    forget();
  }

  /// Takes row `t` of the bound inputs into the state; [#position] is the number of tokens before
  /// it.
  ///
  /// @param t row within the bound tensors
  /// @param tokens number of rows of the bound tensors, which is the stride of their heads
  protected abstract void take(int t, int tokens);

  /// Takes all rows of the bound inputs into the state at once, where a session has a faster way
  /// than one after the other; whether it did.
  protected boolean takeTogether(int tokens) {
    return false;
  }

  /// Writes the output of the token just taken, the only row of the bound inputs.
  protected abstract void answer(float[] output);

  /// Clears the state; a state that is rewritten before it is read needs nothing.
  protected void forget() {}

  /// The inputs of the current call: those given, and parameters drawn from the seed.
  protected final BoundTensors inputs() {
    return current;
  }

  /// The elements of an input: the one given, or the parameter drawn from the seed.
  protected final float[] input(String name) {
    return current.get(name);
  }

  /// Whether an optional input was given.
  protected final boolean hasInput(String name) {
    return current.has(name);
  }

  private void requireRoom(int tokens) {
    if (position + tokens > shape.keySeqLen()) {
      throw new IllegalStateException(
          attention.name()
              + ": positions must be at most keySeqLen ("
              + shape.keySeqLen()
              + "), but were "
              + (position + tokens));
    }
  }
}
