// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Copying a string of letters token by token (Jelassi et al., Repeat After Me, 2024): a test of
/// the state, for one of b bits cannot hold more than b / log₂ 26 letters.
///
/// The sample is BOS, the string, SEP, the string without its last letter; asked from SEP on, with
/// the right letters read so far (teacher forcing). BOS, SEP and padding are the numbers after the
/// letters.
///
/// @param minLength shortest string
/// @param maxLength longest string
/// @param symbols letters
@TaskInfo(
    name = "string_copy",
    title = "String copy",
    source = "Jelassi et al., Repeat After Me, ICML 2024, arXiv:2402.01032",
    asks = "the string again, letter by letter",
    solver = "the letters between BOS and SEP",
    published =
        "a transformer copies strings of any trained length, state-space models fail beyond their"
            + " state (quoted from memory)")
public record StringCopy(
    @Parameter(value = "shortest string, >= 1", defaultValue = "5") int minLength,
    @Parameter(value = "longest string", defaultValue = "20") int maxLength,
    @Parameter(value = "letters, >= 2", defaultValue = "26") int symbols)
    implements Task {

  /// Validates the sizes.
  public StringCopy {
    Choices.atLeast("min_length", minLength, 1);
    Choices.atLeast("max_length", maxLength, minLength);
    Choices.atLeast("symbols", symbols, 2);
  }

  @Override
  public int vocab() {
    return symbols + 3;
  }

  @Override
  public int classes() {
    return symbols;
  }

  @Override
  public int positions() {
    return 2 * maxLength + 1;
  }

  @Override
  public int padding() {
    return symbols + 2;
  }

  @Override
  public int asked() {
    return maxLength;
  }

  @Override
  public double chance() {
    return 1.0 / symbols;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    int length = minLength + random.nextInt(maxLength - minLength + 1);
    Arrays.fill(tokens, padding());
    Arrays.fill(labels, IGNORE);
    tokens[0] = symbols;
    tokens[length + 1] = symbols + 1;
    for (int i = 0; i < length; i++) {
      int letter = random.nextInt(symbols);
      tokens[1 + i] = letter;
      labels[length + 1 + i] = letter;
      if (i < length - 1) {
        tokens[length + 2 + i] = letter;
      }
    }
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int separator = 1;
      while (tokens[separator] != symbols + 1) {
        separator++;
      }
      for (int i = 0; i < separator - 1; i++) {
        labels[separator + i] = tokens[1 + i];
      }
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new StringCopy(length, length, symbols);
  }
}
