// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import org.apache.commons.rng.UniformRandomProvider;

/// An expression of digits with +, − and × without brackets, its value modulo m asked at the end;
/// × binds before ± (Delétang et al., ICLR 2023).
///
/// Digits 0 … m − 1 at even places, operators m (+), m + 1 (−), m + 2 (×) at odd ones.
///
/// @param n tokens, odd
/// @param modulus m
@TaskInfo(
    name = "modular_arithmetic",
    title = "Modular arithmetic without brackets",
    source = "Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023",
    asks = "the value of the expression modulo m",
    solver = "one pass with a running product",
    published =
        "scaled accuracy: Transformer 0.03, sLSTM 0.79, Mamba [0,1] 0.10, [-1,1] 0.24, DeltaNet"
            + " [0,1] 0.31, [-1,1] 0.97 (Grazzi et al., quoted from memory)")
public record ModularArithmetic(
    @Parameter(value = "tokens n, odd", defaultValue = "39") int n,
    @Parameter(value = "modulus m, >= 2", defaultValue = "5") int modulus)
    implements Task {

  /// Validates the sizes.
  public ModularArithmetic {
    Choices.require(n >= 1 && n % 2 == 1, "n", "be odd", n);
    Choices.atLeast("modulus", modulus, 2);
  }

  @Override
  public int vocab() {
    return modulus + 3;
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
    for (int t = 0; t < n; t++) {
      tokens[t] = t % 2 == 0 ? random.nextInt(modulus) : modulus + random.nextInt(3);
    }
    System.arraycopy(solver().solve(tokens), 0, labels, 0, n);
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int sum = 0;
      int product = tokens[0];
      for (int t = 2; t < tokens.length; t += 2) {
        int operator = tokens[t - 1] - modulus;
        if (operator == 2) {
          product = product * tokens[t] % modulus;
        } else {
          sum += product;
          product = operator == 0 ? tokens[t] : -tokens[t];
        }
      }
      labels[tokens.length - 1] = Math.floorMod(sum + product, modulus);
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new ModularArithmetic(length, modulus);
  }
}
