// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.layer;

import java.util.ArrayList;
import java.util.List;

/// Token-by-token work of a model: the position of the token at hand, and everything that layers
/// keep between tokens.
public final class Decoding {
  private final int longest;
  private final List<State> states = new ArrayList<>();
  private int position;
  private int prompt;

  /// What a layer keeps between tokens.
  interface State {
    /// Takes over what the token just computed leaves behind.
    void advance();

    /// Forgets all tokens.
    void reset();

    /// Bytes that the tokens so far have made necessary.
    long bytes();
  }

  /// @param longest the largest number of tokens
  public Decoding(int longest) {
    if (longest < 1) {
      throw new IllegalArgumentException("longest must be >= 1, but was " + longest);
    }
    this.longest = longest;
  }

  /// The largest number of tokens.
  public int longest() {
    return longest;
  }

  /// Number of tokens before the one at hand.
  public int position() {
    return position;
  }

  /// Says that the first tokens are a prompt, which caches with a policy take together.
  ///
  /// @param tokens of every sequence
  /// @throws IllegalStateException if tokens were taken before
  public void beginPrompt(int tokens) {
    if (position > 0) {
      throw new IllegalStateException(
          "prompt must come first, but " + position + " tokens were taken before");
    }
    prompt = tokens;
  }

  /// Tokens of the prompt; 0 where none was announced.
  int prompt() {
    return prompt;
  }

  void keep(State state) {
    states.add(state);
  }

  /// Called after every token.
  public void advance() {
    for (int i = 0; i < states.size(); i++) {
      states.get(i).advance();
    }
    position++;
  }

  /// Forgets all tokens.
  public void reset() {
    position = 0;
    prompt = 0;
    states.forEach(State::reset);
  }

  /// Bytes of state that the tokens so far have made necessary.
  public long stateBytes() {
    return states.stream().mapToLong(State::bytes).sum();
  }
}
