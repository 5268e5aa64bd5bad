// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.List;
import org.apache.commons.rng.UniformRandomProvider;

/// FIRST: the first bit of a word, asked at its end: the control beside parity (Chiang and Cholak,
/// Overcoming a Theoretical Limitation of Self-Attention, ACL 2022).
///
/// @param n bits
@TaskInfo(
    name = "first",
    title = "First bit",
    source = "Chiang, Cholak, Overcoming a Theoretical Limitation of Self-Attention, ACL 2022",
    asks = "the first bit",
    solver = "the first token",
    published = "easy at trained lengths; softmax attention dilutes it with length (verified)")
public record First(@Parameter(value = "bits n, >= 1", defaultValue = "40") int n) implements Task {

  /// Validates the size.
  public First {
    Choices.atLeast("n", n, 1);
  }

  @Override
  public int vocab() {
    return 2;
  }

  @Override
  public int classes() {
    return 2;
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
    return 0.5;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    for (int t = 0; t < n; t++) {
      tokens[t] = random.nextInt(2);
      labels[t] = t == n - 1 ? tokens[0] : IGNORE;
    }
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      labels[tokens.length - 1] = tokens[0];
      return labels;
    };
  }

  @Override
  public List<Integer> longer() {
    return List.of(2 * n, 4 * n);
  }

  @Override
  public Task atLength(int length) {
    return new First(length);
  }
}
