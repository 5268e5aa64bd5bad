// SPDX-License-Identifier: Apache-2.0
package dev.crossover.attention;

import dev.crossover.attention.tensor.Tensor;

/// Causal attention one token at a time: token t's output depends on tokens 0..t only.
///
/// A session holds the state between tokens and is used by one caller at a time. Feeding a sequence
/// token by token gives what a causal plan gives on the whole of it.
public interface DecodeSession {

  /// Takes one token and writes its output.
  ///
  /// @param inputs the mechanism's per-token inputs with a sequence length of 1, for example `q`
  ///     `[batch, heads, 1, d]`; parameters as in a plan
  /// @param output `[batch, heads, 1, dv]`
  /// @throws IllegalArgumentException if a tensor does not fit
  /// @throws IllegalStateException if the session is full
  void step(Tensors inputs, Tensor output);

  /// Takes a whole prefix without producing outputs, as if by [#step] on each of its tokens.
  ///
  /// @param inputs the mechanism's inputs for any number of tokens
  void prefill(Tensors inputs);

  /// Number of tokens taken since the start or the last [#reset].
  int position();

  /// Bytes of state that the tokens so far have made necessary: for a key/value cache it grows with
  /// [#position], for a recurrent state it is constant.
  long stateBytes();

  /// Forgets all tokens.
  void reset();
}
