// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.model;

import dev.crossover.attention.random.Draws;
import dev.crossover.attention.tensor.Tensor;
import java.util.Arrays;
import org.apache.commons.rng.UniformRandomProvider;

/// Continues a sequence of tokens with a [LanguageModelSession]: the likeliest token, or one drawn
/// by the softmax of the logits over a temperature.
public final class TextGenerator {
  private final LanguageModelSession session;
  private final double temperature;
  private final UniformRandomProvider random;
  private Tensor logits = Tensor.zeros(0);

  /// @param session of one sequence
  /// @param temperature 0 takes the likeliest token, of equal ones the first
  /// @param seed of the draws
  public TextGenerator(LanguageModelSession session, double temperature, long seed) {
    if (!(temperature >= 0) || Double.isInfinite(temperature)) {
      throw new IllegalArgumentException("temperature must be >= 0, but was " + temperature);
    }
    this.session = session;
    this.temperature = temperature;
    random = Draws.generator(Draws.seedFor(seed, "text"));
  }

  /// Reads a prompt, or more text.
  ///
  /// @param tokens at least one
  public void read(int[] tokens) {
    if (tokens.length == 0) {
      throw new IllegalArgumentException("prompt must hold a token, but was empty");
    }
    if (session.position() == 0) {
      int[][] prompt = new int[tokens.length][];
      Arrays.setAll(prompt, t -> new int[] {tokens[t]});
      logits = session.read(prompt);
      return;
    }
    for (int token : tokens) {
      logits = session.step(new int[] {token});
    }
  }

  /// Chooses the next token and reads it.
  ///
  /// @throws IllegalStateException before [#read]
  public int next() {
    int token = choose();
    logits = session.step(new int[] {token});
    return token;
  }

  /// Chooses the next token without reading it.
  ///
  /// @throws IllegalStateException before [#read]
  public int choose() {
    if (logits.size() == 0) {
      throw new IllegalStateException("prompt must be read first, but was not");
    }
    float[] values = logits.data();
    int likeliest = 0;
    for (int i = 1; i < values.length; i++) {
      likeliest = values[i] > values[likeliest] ? i : likeliest;
    }
    if (temperature == 0) {
      return likeliest;
    }
    double sum = 0;
    for (float value : values) {
      sum += Math.exp((value - values[likeliest]) / temperature);
    }
    double left = random.nextDouble() * sum;
    for (int i = 0; i < values.length; i++) {
      left -= Math.exp((values[i] - values[likeliest]) / temperature);
      if (left < 0) {
        return i;
      }
    }
    return likeliest;
  }
}
