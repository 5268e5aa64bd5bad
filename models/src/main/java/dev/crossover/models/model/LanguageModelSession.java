// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import dev.crossover.attention.tensor.Tensor;
import dev.crossover.models.graph.Parameters;
import dev.crossover.models.layer.Decoding;
import dev.crossover.models.layer.LayerOptions;

/// A language model that takes one token of every sequence at a time and gives the logits after it:
/// caches or states of mechanisms, tails of convolutions, hidden states of recurrences, and the
/// position are kept in between.
///
/// Fed a sequence token by token it gives the logits of the whole sequence, to rounding.
public final class LanguageModelSession {
  private final Decoding decoding;
  private final Model model;

  /// @param batch number of sequences
  /// @param longest the largest number of tokens of a sequence
  /// @param threads number of threads, at least 1
  /// @throws IllegalArgumentException if a parameter is missing or does not fit
  /// @throws UnsupportedOperationException if a mechanism does not decode, by name
  public LanguageModelSession(
      LayerOptions options, Parameters parameters, int batch, int longest, int threads) {
    decoding = new Decoding(longest);
    model = Model.planStep(options.with("training", "false"), parameters, batch, decoding, threads);
  }

  /// Takes the prompt of every sequence. A cache with a policy takes it as the policies' papers do:
  /// exact attention over the whole prompt, of which positions are dropped at its end. Whatever
  /// else is kept is what [#step] on each token would have left.
  ///
  /// @param tokens `[length, batch]`, at least one token of every sequence
  /// @return `[batch, 1, vocabulary]` after the last; written anew by the next call
  /// @throws IllegalStateException if tokens were taken before, or there are more than fit
  public Tensor read(int[][] tokens) {
    if (tokens.length < 1 || tokens.length > decoding.longest()) {
      throw new IllegalStateException(
          "prompt must hold from 1 to "
              + decoding.longest()
              + " tokens, but held "
              + tokens.length);
    }
    decoding.beginPrompt(tokens.length);
    Tensor logits = step(tokens[0]);
    for (int t = 1; t < tokens.length; t++) {
      logits = step(tokens[t]);
    }
    return logits;
  }

  /// Takes one token of every sequence.
  ///
  /// @param tokens `[batch]`
  /// @return `[batch, 1, vocabulary]`; written anew by the next call
  /// @throws IllegalStateException if the session is full
  public Tensor step(int[] tokens) {
    if (decoding.position() == decoding.longest()) {
      throw new IllegalStateException(
          "positions must be at most " + decoding.longest() + ", but one more was given");
    }
    Tensor logits = model.logits(new Batch(tokens, null, null, null, null));
    decoding.advance();
    return logits;
  }

  /// Number of tokens taken since the start or the last [#reset].
  public int position() {
    return decoding.position();
  }

  /// Bytes of state that the tokens so far have made necessary.
  public long stateBytes() {
    return decoding.stateBytes();
  }

  /// Forgets all tokens.
  public void reset() {
    decoding.reset();
  }
}
