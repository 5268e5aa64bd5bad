// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Selective copying of MAD: some tokens scattered among blanks, to be written in order after a
/// mark (Poli et al., 2024; Gu and Dao, Mamba, 2023).
///
/// Blank is V − 2, the mark V − 1. The sample is the tokens with blanks before them, the mark, then
/// one blank for each token; there the tokens are asked.
///
/// @param n positions
/// @param vocab tokens V
/// @param copy tokens to copy
@TaskInfo(
    name = "selective_copying",
    title = "Selective copying (MAD)",
    source = "Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024",
    asks = "the tokens that are not blank, in order",
    solver = "the tokens before the mark without the blanks",
    published = "favours gated recurrences (quoted from memory; bar charts without numbers)")
public record SelectiveCopying(
    @Parameter(value = "positions n, >= 2 copy + 1", defaultValue = "256") int n,
    @Parameter(value = "tokens V, >= 4", defaultValue = "16") int vocab,
    @Parameter(value = "tokens to copy, >= 1", defaultValue = "16") int copy)
    implements Task {

  /// Validates the sizes.
  public SelectiveCopying {
    Choices.atLeast("copy", copy, 1);
    Choices.atLeast("vocab", vocab, 4);
    Choices.atLeast("n", n, 2 * copy + 1);
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
    return copy;
  }

  @Override
  public double chance() {
    return 1.0 / (vocab - 2);
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    Arrays.fill(tokens, vocab - 2);
    Arrays.fill(labels, IGNORE);
    int[] before = new int[copy];
    for (int blank = 0; blank < n - 2 * copy - 1; blank++) {
      before[random.nextInt(copy)]++;
    }
    int at = 0;
    for (int i = 0; i < copy; i++) {
      at += before[i];
      tokens[at] = random.nextInt(vocab - 2);
      labels[n - copy + i] = tokens[at++];
    }
    tokens[n - copy - 1] = vocab - 1;
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int at = tokens.length - copy;
      for (int t = 0; t < tokens.length && tokens[t] != vocab - 1; t++) {
        if (tokens[t] != vocab - 2) {
          labels[at++] = tokens[t];
        }
      }
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new SelectiveCopying(length, vocab, copy);
  }
}
