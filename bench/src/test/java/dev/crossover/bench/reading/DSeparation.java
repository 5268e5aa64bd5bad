// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.random.Draws;
import java.util.ArrayDeque;
import java.util.Deque;
import org.apache.commons.rng.UniformRandomProvider;

/// Exact independences of a directed graph, some of whose nodes are not observed: two nodes are
/// independent given a set if it blocks every path between them.
final class DSeparation implements IndependenceTest {
  private final boolean[][] edge;
  private final int[] observed;

  /// @param edge `edge[a][b]`: a → b
  /// @param observed the nodes of the learned graph
  DSeparation(boolean[][] edge, int[] observed) {
    this.edge = edge;
    this.observed = observed;
  }

  /// A random graph whose edges point to larger numbers; every third node or so is not observed.
  static DSeparation random(long seed, int nodes, double density, double hidden) {
    UniformRandomProvider draws = Draws.generator(seed);
    boolean[][] edge = new boolean[nodes][nodes];
    for (int a = 0; a < nodes; a++) {
      for (int b = a + 1; b < nodes; b++) {
        edge[a][b] = draws.nextDouble() < density;
      }
    }
    int[] kept =
        java.util.stream.IntStream.range(0, nodes)
            .filter(node -> draws.nextDouble() >= hidden)
            .toArray();
    return new DSeparation(edge, kept);
  }

  int size() {
    return observed.length;
  }

  boolean ancestor(int a, int b) {
    return reaches(observed[a], observed[b]);
  }

  private boolean reaches(int a, int b) {
    if (a == b) {
      return true;
    }
    for (int c = 0; c < edge.length; c++) {
      if (edge[a][c] && reaches(c, b)) {
        return true;
      }
    }
    return false;
  }

  /// Walks along active paths: a state is a node and whether it was entered against an arrow.
  @Override
  public boolean independent(int a, int b, int[] given) {
    int n = edge.length;
    boolean[] inSet = new boolean[n];
    for (int z : given) {
      inSet[observed[z]] = true;
    }
    boolean[][] seen = new boolean[n][2];
    Deque<int[]> queue = new ArrayDeque<>();
    queue.add(new int[] {observed[a], 1});
    while (!queue.isEmpty()) {
      int[] state = queue.remove();
      int at = state[0];
      boolean fromChild = state[1] == 1;
      if (seen[at][state[1]]) {
        continue;
      }
      seen[at][state[1]] = true;
      if (at == observed[b]) {
        return false;
      }
      for (int next = 0; next < n; next++) {
        boolean up = edge[next][at] && (fromChild ? !inSet[at] : opened(at, inSet));
        boolean down = edge[at][next] && !inSet[at];
        if (up) {
          queue.add(new int[] {next, 1});
        }
        if (down) {
          queue.add(new int[] {next, 0});
        }
      }
    }
    return true;
  }

  /// Whether a collider lets a path through: it or a node below it is in the set.
  private boolean opened(int at, boolean[] inSet) {
    for (int node = 0; node < inSet.length; node++) {
      if (inSet[node] && reaches(at, node)) {
        return true;
      }
    }
    return false;
  }
}
