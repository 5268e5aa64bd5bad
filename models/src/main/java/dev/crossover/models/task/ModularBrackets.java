// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import org.apache.commons.rng.UniformRandomProvider;

/// An expression with brackets, of exactly n tokens, its value modulo m asked at the end (Delétang
/// et al., ICLR 2023).
///
/// ```
/// n = 1: d    2: − d    3: ( d )    4: ( − d )    n ≥ 5: ( L op R ), |L| uniform in 1 … n − 4
/// ```
///
/// Tokens: digits, m (+), m + 1 (−), m + 2 (×, never drawn), m + 3 ( ( ), m + 4 ( ) ).
///
/// @param n tokens
/// @param modulus m
@TaskInfo(
    name = "modular_brackets",
    title = "Modular arithmetic with brackets",
    source = "Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023",
    asks = "the value of the expression modulo m",
    solver = "recursive descent with a unary minus",
    published = "scaled accuracy of every model at most 0.2 (Grazzi et al., quoted from memory)")
public record ModularBrackets(
    @Parameter(value = "tokens n, >= 1", defaultValue = "40") int n,
    @Parameter(value = "modulus m, >= 2", defaultValue = "5") int modulus)
    implements Task {

  /// Validates the sizes.
  public ModularBrackets {
    Choices.atLeast("n", n, 1);
    Choices.atLeast("modulus", modulus, 2);
  }

  @Override
  public int vocab() {
    return modulus + 5;
  }

  @Override
  public int classes() {
    return modulus;
  }

  @Override
  public int positions() {
    return n;
  }

  @Override
  public int asked() {
    return 1;
  }

  @Override
  public double chance() {
    return 1.0 / modulus;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    expression(random, tokens, 0, n);
    System.arraycopy(solver().solve(tokens), 0, labels, 0, n);
  }

  private void expression(UniformRandomProvider random, int[] tokens, int at, int length) {
    int from = at;
    if (length >= 3) {
      tokens[at] = modulus + 3;
      tokens[at + length - 1] = modulus + 4;
      from++;
    }
    int inside = length >= 3 ? length - 2 : length;
    if (inside <= 2) {
      if (inside == 2) {
        tokens[from++] = modulus + 1;
      }
      tokens[from] = random.nextInt(modulus);
      return;
    }
    int left = 1 + random.nextInt(length - 4);
    expression(random, tokens, from, left);
    tokens[from + left] = modulus + random.nextInt(2);
    expression(random, tokens, from + left + 1, inside - left - 1);
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      labels[tokens.length - 1] = new Descent(tokens).value();
      return labels;
    };
  }

  /// Reads one expression after another.
  private final class Descent {
    private final int[] tokens;
    private int at;

    Descent(int[] tokens) {
      this.tokens = tokens;
    }

    int value() {
      int token = tokens[at++];
      if (token < modulus) {
        return token;
      }
      if (token == modulus + 1) {
        return Math.floorMod(-value(), modulus);
      }
      int result = value();
      while (tokens[at] != modulus + 4) {
        int operator = tokens[at++] - modulus;
        int right = value();
        int combined =
            switch (operator) {
              case 0 -> result + right;
              case 1 -> result - right;
              default -> result * right;
            };
        result = Math.floorMod(combined, modulus);
      }
      at++;
      return result;
    }
  }

  @Override
  public Task atLength(int length) {
    return new ModularBrackets(length, modulus);
  }
}
