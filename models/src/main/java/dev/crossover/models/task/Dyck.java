// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import org.apache.commons.rng.UniformRandomProvider;

/// Well-nested brackets of several types and bounded depth; where the next token closes, its type
/// is asked (Hewitt et al., RNNs can generate bounded hierarchical languages, EMNLP 2020).
///
/// Tokens 0 … k − 1 open, k … 2k − 1 close. With bounded depth the language is regular, with k^m
/// states.
///
/// @param n tokens, even
/// @param types types k of brackets
/// @param depth largest depth m
/// @param openProbability chance to open where both are possible
@TaskInfo(
    name = "dyck",
    title = "Dyck words of bounded depth",
    source = "Hewitt et al., RNNs can generate bounded hierarchical languages, EMNLP 2020",
    asks = "the type of the bracket that closes next",
    solver = "a stack")
public record Dyck(
    @Parameter(value = "tokens n, even, >= 2", defaultValue = "64") int n,
    @Parameter(value = "types of brackets k, >= 1", defaultValue = "8") int types,
    @Parameter(value = "largest depth m, >= 1", defaultValue = "6") int depth,
    @Parameter(value = "chance to open where both are possible, in (0, 1)", defaultValue = "0.5")
        double openProbability)
    implements Task {

  /// Validates the sizes.
  public Dyck {
    Choices.require(n >= 2 && n % 2 == 0, "n", "be even and >= 2", n);
    Choices.atLeast("types", types, 1);
    Choices.atLeast("depth", depth, 1);
    Choices.require(
        openProbability > 0 && openProbability < 1,
        "open_probability",
        "be in (0, 1)",
        openProbability);
  }

  @Override
  public int vocab() {
    return 2 * types;
  }

  @Override
  public int classes() {
    return types;
  }

  @Override
  public int positions() {
    return n;
  }

  @Override
  public double chance() {
    return 1.0 / types;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    word(random, tokens);
    System.arraycopy(solver().solve(tokens), 0, labels, 0, n);
  }

  /// Writes a word of n tokens.
  void word(UniformRandomProvider random, int[] tokens) {
    int[] stack = new int[depth];
    int height = 0;
    for (int t = 0; t < n; t++) {
      boolean opens =
          height == 0
              || (height < depth && height < n - t && random.nextDouble() < openProbability);
      if (opens) {
        stack[height] = random.nextInt(types);
        tokens[t] = stack[height++];
      } else {
        tokens[t] = types + stack[--height];
      }
    }
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int[] stack = new int[tokens.length + 1];
      int height = 0;
      for (int t = 0; t < tokens.length; t++) {
        if (tokens[t] < types) {
          stack[height++] = tokens[t];
        } else {
          height--;
        }
        if (t + 1 < tokens.length && tokens[t + 1] >= types) {
          labels[t] = stack[height - 1];
        }
      }
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new Dyck(length, types, depth, openProbability);
  }
}
