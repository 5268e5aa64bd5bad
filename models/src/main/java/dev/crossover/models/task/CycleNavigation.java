// SPDX-License-Identifier: Apache-2.0
package dev.crossover.models.task;

import dev.crossover.attention.mechanism.Parameter;
import org.apache.commons.rng.UniformRandomProvider;

/// Steps on a ring: left, stay or right, the place asked at the end (Delétang et al., ICLR 2023).
///
/// @param n steps
/// @param cycle places of the ring
@TaskInfo(
    name = "cycle_navigation",
    title = "Cycle navigation",
    source = "Delétang et al., Neural Networks and the Chomsky Hierarchy, ICLR 2023",
    asks = "the place on the ring after all steps, from place 0",
    solver = "adds the steps modulo the ring",
    published = "Transformer 61.9 %, LSTM 100 % (quoted from memory)")
public record CycleNavigation(
    @Parameter(value = "steps n, >= 1", defaultValue = "40") int n,
    @Parameter(value = "places of the ring, >= 2", defaultValue = "5") int cycle)
    implements Task {

  /// Validates the sizes.
  public CycleNavigation {
    Choices.atLeast("n", n, 1);
    Choices.atLeast("cycle", cycle, 2);
  }

  @Override
  public int vocab() {
    return 3;
  }

  @Override
  public int classes() {
    return cycle;
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
    return 1.0 / cycle;
  }

  @Override
  public void draw(UniformRandomProvider random, int[] tokens, int[] labels) {
    for (int t = 0; t < n; t++) {
      tokens[t] = random.nextInt(3);
    }
    System.arraycopy(solver().solve(tokens), 0, labels, 0, n);
  }

  @Override
  public Solver solver() {
    return tokens -> {
      int[] labels = Choices.unasked(tokens.length);
      int place = 0;
      for (int token : tokens) {
        place = Math.floorMod(place + token - 1, cycle);
      }
      labels[tokens.length - 1] = place;
      return labels;
    };
  }

  @Override
  public Task atLength(int length) {
    return new CycleNavigation(length, cycle);
  }
}
