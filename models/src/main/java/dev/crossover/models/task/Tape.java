// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Rewriting a string: an input tape of symbols, then one place-holder for each symbol of the
/// output, where it is asked (Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR
/// 2023).
///
/// @param kind what is written
/// @param length symbols of the input
/// @param symbols different symbols; the place-holder is the number after them
/// @param minLength shortest input drawn in training; 0 means always `length`
@TaskInfo(
    name = "tape",
    title = "Copy, reverse, duplicate, sort",
    source = "Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023",
    asks = "the rewritten string",
    solver = "rewrites it",
    published = {
      "mean accuracy at lengths 41 to 500, Transformer / LSTM: reverse 62.3 / 60.9, duplicate 52.8"
          + " / 57.6, sort 91.9 / 99.3 % (quoted from memory)",
      "sort: the best guess from the position alone gets 0.70 (symbols 5, length 20)"
    })
public record Tape(
    @Parameter(value = "what is written", defaultValue = "copy") Kind kind,
    @Parameter(value = "symbols of the input, >= 1", defaultValue = "20") int length,
    @Parameter(value = "different symbols, >= 2", defaultValue = "2") int symbols,
    @Parameter(value = "shortest input of training, 0: always length", defaultValue = "0")
        int minLength)
    implements Task {

  /// What is written.
  public enum Kind {
    /// The input.
    COPY,
    /// The input backwards.
    REVERSE,
    /// The input twice.
    DUPLICATE,
    /// The input in ascending order.
    SORT
  }

  /// Validates the sizes.
  public Tape {
    Choices.atLeast("length", length, 1);
    Choices.atLeast("symbols", symbols, 2);
    Choices.require(
        minLength >= 0 && minLength <= length, "min_length", "be from 0 to length", minLength);
  }

  private int written(int read) {
    return kind == Kind.DUPLICATE ? 2 * read : read;
  }

  @Override
  public int vocab() {
    return symbols + (minLength > 0 ? 2 : 1);
  }

  @Override
  public int classes() {
    return symbols;
  }

  @Override
  public int positions() {
    return length + written(length);
  }

  @Override
  public int padding() {
    return minLength > 0 ? symbols + 1 : -1;
  }

  @Override
  public int asked() {
    return written(length);
  }

  @Override
  public double chance() {
    return 1.0 / symbols;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    int read = minLength > 0 ? minLength + random.nextInt(length - minLength + 1) : length;
    Arrays.fill(tokens, symbols + 1);
    Arrays.fill(labels, IGNORE);
    for (int t = 0; t < read; t++) {
      tokens[t] = random.nextInt(symbols);
    }
    int[] output = rewritten(Arrays.copyOf(tokens, read));
    for (int t = 0; t < output.length; t++) {
      tokens[read + t] = symbols;
      labels[read + t] = output[t];
    }
  }

  private int[] rewritten(int[] input) {
    int m = input.length;
    int[] output = Arrays.copyOf(input, written(m));
    switch (kind) {
      case COPY -> {}
      case REVERSE -> {
        for (int t = 0; t < m; t++) {
          output[t] = input[m - 1 - t];
        }
      }
      case DUPLICATE -> System.arraycopy(input, 0, output, m, m);
      case SORT -> Arrays.sort(output);
    }
    return output;
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int read = 0;
      while (read < tokens.length && tokens[read] < symbols) {
        read++;
      }
      int[] labels = Choices.unasked(tokens.length);
      int[] output = rewritten(Arrays.copyOf(tokens, read));
      System.arraycopy(output, 0, labels, read, output.length);
      return labels;
    };
  }

  @Override
  public Task atLength(int n) {
    return new Tape(kind, n, symbols, 0);
  }
}
