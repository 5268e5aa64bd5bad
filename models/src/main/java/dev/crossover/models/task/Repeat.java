// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Repeated random tokens: a random sequence twice; asked at every position of the second half but
/// its first, the next token (Olsson et al., In-context Learning and Induction Heads, 2022).
///
/// @param length tokens of the repeated part
/// @param vocab tokens
@TaskInfo(
    name = "repeat",
    title = "A repeated random sequence",
    source = "Olsson et al., In-context Learning and Induction Heads, 2022",
    asks = "the next token of the second copy",
    solver = "the token one copy earlier, one place on",
    published =
        "one block of softmax attention cannot, two can; with a short convolution one can (quoted"
            + " from memory)")
public record Repeat(
    @Parameter(value = "tokens of the repeated part, >= 2", defaultValue = "32") int length,
    @Parameter(value = "tokens, >= 2", defaultValue = "64") int vocab)
    implements Task {

  /// Validates the sizes.
  public Repeat {
    Choices.atLeast("length", length, 2);
    Choices.atLeast("vocab", vocab, 2);
  }

  @Override
  public int classes() {
    return vocab;
  }

  @Override
  public int positions() {
    return 2 * length;
  }

  @Override
  public double chance() {
    return 1.0 / vocab;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    Arrays.fill(labels, IGNORE);
    for (int t = 0; t < length; t++) {
      tokens[t] = random.nextInt(vocab);
      tokens[length + t] = tokens[t];
    }
    for (int t = length + 1; t < 2 * length - 1; t++) {
      labels[t] = tokens[t + 1];
    }
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      for (int t = length + 1; t < 2 * length - 1; t++) {
        labels[t] = tokens[t + 1 - length];
      }
      return labels;
    };
  }

  @Override
  public Task atLength(int n) {
    Choices.require(n % 2 == 0, "length", "be half of an even number of positions", n);
    return new Repeat(n / 2, vocab);
  }
}
