// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Stream;
import org.apache.commons.rng.UniformRandomProvider;

/// Parity: the number of ones so far, modulo 2.
///
/// A recurrence whose decays lie in [0, 1] cannot do it at any finite precision; eigenvalues of −1
/// can (Grazzi et al., ICLR 2025). Softmax attention fits lengths it was trained on and falls to
/// chance beyond. With the last label only, little learns it in thousands of steps: train with
/// `every`.
///
/// @param n bits
/// @param every whether every position is asked, not only the last
/// @param minLength shortest word drawn; 0 means always n. Shorter words are filled with zeros at
///     the end, where nothing is asked
@TaskInfo(
    name = "parity",
    title = "Parity",
    source =
        "Delétang et al., ICLR 2023; Grazzi et al., Unlocking State-Tracking in Linear RNNs Through"
            + " Negative Eigenvalues, ICLR 2025",
    asks = "whether the number of ones so far is odd",
    solver = "a running sum modulo 2",
    published = {
      "trained on lengths 3 to 40, scaled accuracy at 40 to 256: Transformer 0.02, mLSTM 0.09,"
          + " sLSTM 1.00, Mamba [0,1] 0.00, Mamba [-1,1] 1.00, DeltaNet [0,1] 0.02, DeltaNet [-1,1]"
          + " 1.00 (Grazzi et al., quoted from memory)",
      "Transformer 52.3 %, RNN and LSTM 100 % (Delétang et al., quoted from memory)"
    })
public record Parity(
    @Parameter(value = "bits n, >= 1", defaultValue = "40") int n,
    @Parameter(value = "ask at every position", defaultValue = "false") boolean every,
    @Parameter(value = "shortest word, 0: always n", defaultValue = "0") int minLength)
    implements Task {
  private static final int SHORTEST = 3;

  /// Validates the sizes.
  public Parity {
    Choices.atLeast("n", n, 1);
    Choices.require(minLength >= 0 && minLength <= n, "min_length", "be from 0 to n", minLength);
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
  public int padding() {
    return minLength > 0 ? 0 : -1;
  }

  @Override
  public int asked() {
    return every ? n : 1;
  }

  @Override
  public double chance() {
    return 0.5;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    int length = minLength > 0 ? minLength + random.nextInt(n - minLength + 1) : n;
    Arrays.fill(tokens, 0);
    Arrays.fill(labels, IGNORE);
    int parity = 0;
    for (int t = 0; t < length; t++) {
      tokens[t] = random.nextInt(2);
      parity ^= tokens[t];
      if (every || t == length - 1) {
        labels[t] = parity;
      }
    }
  }

  /// Answers at every position up to the last, or at the last; of a word that was filled up it
  /// cannot tell the end and answers there as if it were longer.
  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int parity = 0;
      for (int t = 0; t < tokens.length; t++) {
        parity ^= tokens[t];
        if (every || minLength > 0 || t == tokens.length - 1) {
          labels[t] = parity;
        }
      }
      return labels;
    };
  }

  /// Words of 3 to n bits, as Grazzi et al. train, so that no position is special.
  @Override
  public Task training() {
    return minLength > 0 || n <= SHORTEST ? this : new Parity(n, every, SHORTEST);
  }

  @Override
  public List<Integer> longer() {
    return Stream.of(64, 128, 256).filter(length -> length > n).toList();
  }

  @Override
  public Task atLength(int length) {
    return new Parity(length, every, 0);
  }
}
