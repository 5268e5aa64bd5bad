// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.Arrays;

/// The sets that made pairs of tokens independent and so removed their edges.
public final class Separators {
  private final int[][][] sets;

  Separators(int nodes) {
    sets = new int[nodes][nodes][0];
  }

  /// The set that removed the edge of two nodes, ascending; empty while the edge is there.
  public int[] of(int a, int b) {
    return sets[Math.min(a, b)][Math.max(a, b)].clone();
  }

  boolean holds(int a, int b, int member) {
    return Arrays.stream(sets[Math.min(a, b)][Math.max(a, b)]).anyMatch(z -> z == member);
  }

  void put(int a, int b, int[] set) {
    sets[Math.min(a, b)][Math.max(a, b)] = set.clone();
  }
}
