// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import dev.crossover.attention.random.Draws;
import java.util.HashMap;
import java.util.Map;
import org.apache.commons.rng.UniformRandomProvider;

/// Memorisation of MAD: a fixed map from keys to values that only weights can hold (Poli et al.,
/// 2024). A control: mechanisms should not differ.
///
/// The sample is key, mark, key, mark, …; at each mark the value of the key before it is asked.
/// Keys are 0 … (V − 1)/2 − 1, values distinct of the others; the mark is V − 1.
///
/// @param n positions, even
/// @param vocab tokens V
/// @param seed of the map
@TaskInfo(
    name = "memorisation",
    title = "Memorisation (MAD)",
    source = "Poli et al., Mechanistic Design and Scaling of Hybrid Architectures, 2024",
    asks = "the value of the key before each mark, the same map in every sample",
    solver = "the map")
public record Memorisation(
    @Parameter(value = "positions n, even", defaultValue = "32") int n,
    @Parameter(value = "tokens V, >= 5", defaultValue = "256") int vocab,
    @Parameter(value = "seed of the map", defaultValue = "42") long seed)
    implements Task {

  /// Validates the sizes.
  public Memorisation {
    Choices.require(n >= 2 && n % 2 == 0, "n", "be even and >= 2", n);
    Choices.atLeast("vocab", vocab, 5);
  }

  private int keys() {
    return (vocab - 1) / 2;
  }

  private int[] map() {
    UniformRandomProvider random = Draws.generator(Draws.seedFor(seed, "memorisation"));
    return Choices.distinct(random, keys(), vocab - 1, keys());
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
  public double chance() {
    return 2.0 / vocab;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    int[] map = map();
    for (int t = 0; t < n; t += 2) {
      tokens[t] = random.nextInt(keys());
      tokens[t + 1] = vocab - 1;
      labels[t] = IGNORE;
      labels[t + 1] = map[tokens[t]];
    }
  }

  @Override
  public Solver solver() {
    int[] map = map();
    Map<Integer, Integer> values = new HashMap<>();
    for (int key = 0; key < map.length; key++) {
      values.put(key, map[key]);
    }
    return solverOf(values);
  }

  @Override
  public Solver solver(Map<String, int[]> tables) {
    int[] rows = tables.get("map");
    if (rows == null) {
      return solver();
    }
    Map<Integer, Integer> values = new HashMap<>();
    for (int i = 0; i < rows.length; i += 2) {
      values.put(rows[i], rows[i + 1]);
    }
    return solverOf(values);
  }

  private Solver solverOf(Map<Integer, Integer> values) {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      for (int t = 1; t < tokens.length; t++) {
        if (tokens[t] == vocab - 1) {
          labels[t] = values.getOrDefault(tokens[t - 1], IGNORE);
        }
      }
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new Memorisation(length, vocab, seed);
  }
}
