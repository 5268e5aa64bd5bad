// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import org.apache.commons.rng.UniformRandomProvider;

/// Compression of MAD: every token again from the last position's vector alone (Poli et al., 2024).
///
/// n − 1 tokens uniform in 0 … V − 2, then the mark V − 1. (n − 1) log₂(V − 1) bits have to pass
/// through one vector.
///
/// @param n positions
/// @param vocab tokens V
@TaskInfo(
    name = "compression",
    title = "Compression (MAD)",
    source = "Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024",
    asks = "all tokens, from the vector of the last position",
    solver = "the tokens themselves",
    published = "where attention is weakest (quoted from memory; bar charts without numbers)")
public record Compression(
    @Parameter(value = "positions n, >= 2", defaultValue = "32") int n,
    @Parameter(value = "tokens V, >= 3", defaultValue = "16") int vocab)
    implements Task {

  /// Validates the sizes.
  public Compression {
    Choices.atLeast("n", n, 2);
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
  public Reading reading() {
    return Reading.AUTOENCODER;
  }

  @Override
  public double chance() {
    return 1.0 / (vocab - 1);
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    for (int t = 0; t < n; t++) {
      tokens[t] = t == n - 1 ? vocab - 1 : random.nextInt(vocab - 1);
      labels[t] = tokens[t];
    }
  }

  @Override
  public Solver solver() {
    return int[]::clone;
  }

  @Override
  public Task atLength(int length) {
    return new Compression(length, vocab);
  }
}
