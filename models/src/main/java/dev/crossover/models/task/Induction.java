// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import java.util.List;
import org.apache.commons.rng.UniformRandomProvider;

/// Induction heads: a special token once somewhere, again at the end, where what followed it the
/// first time is asked (Gu and Dao, Mamba, 2023).
///
/// @param n positions
/// @param vocab tokens; the special one is the last
@TaskInfo(
    name = "induction",
    title = "Induction heads",
    source = "Gu, Dao, Mamba, 2023, arXiv:2312.00752, section 4.1.2",
    asks = "what followed the special token the first time",
    solver = "find the first special token",
    published =
        "two layers, trained at 256: Mamba exact to 2^20; attention with absolute or rotary"
            + " positions fails beyond twice the training length; xPos decays (quoted from memory)")
public record Induction(
    @Parameter(value = "positions n, >= 4", defaultValue = "256") int n,
    @Parameter(value = "tokens, the special one included, >= 3", defaultValue = "16") int vocab)
    implements Task {

  /// Validates the sizes.
  public Induction {
    Choices.atLeast("n", n, 4);
    Choices.atLeast("vocab", vocab, 3);
  }

  @Override
  public int classes() {
    return vocab;
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
    return 1.0 / (vocab - 1);
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    Arrays.fill(labels, IGNORE);
    for (int t = 0; t < n; t++) {
      tokens[t] = random.nextInt(vocab - 1);
    }
    int place = random.nextInt(n - 2);
    tokens[place] = vocab - 1;
    tokens[n - 1] = vocab - 1;
    labels[n - 1] = tokens[place + 1];
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int first = 0;
      while (tokens[first] != vocab - 1) {
        first++;
      }
      labels[tokens.length - 1] = tokens[first + 1];
      return labels;
    };
  }

  @Override
  public List<Integer> longer() {
    return List.of(2 * n, 4 * n);
  }

  @Override
  public Task atLength(int length) {
    return new Induction(length, vocab);
  }
}
