// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Deque;
import java.util.List;

/// Attention flow (Abnar, Zuidema, ACL 2020, arXiv:2005.00928): the maximum flow from a position
/// after a layer to an input, where the weights with residual are the capacities.
///
/// Every pair is a problem of its own, so that a row may sum to more than 1.
public final class AttentionFlow {
  /// Most positions: there are n² problems a layer.
  public static final int MOST_POSITIONS = 64;

  private static final double SMALLEST = 1e-15;

  private final List<double[][]> capacity;
  private final int n;
  private double[][][] left = new double[0][][];
  private double[][][] back = new double[0][][];
  private int[] level = new int[0];
  private int[] next = new int[0];

  private AttentionFlow(AttentionStack stack) {
    n = stack.queries();
    if (n > MOST_POSITIONS) {
      throw new IllegalArgumentException(
          "positions of a flow must be at most " + MOST_POSITIONS + ", but was " + n);
    }
    capacity = new ArrayList<>();
    for (int layer = 0; layer < stack.depth(); layer++) {
      capacity.add(Rollout.withResidual(stack, layer));
    }
  }

  /// Maximum flows from every position after a layer to every input, `[n][n]`.
  ///
  /// @param layers number of layers counted from the input, at least 1
  /// @throws IllegalArgumentException if there are more than [#MOST_POSITIONS] positions
  public static double[][] of(AttentionStack stack, int layers) {
    AttentionFlow flow = new AttentionFlow(stack);
    double[][] result = new double[flow.n][flow.n];
    for (int i = 0; i < flow.n; i++) {
      for (int j = 0; j < flow.n; j++) {
        result[i][j] = flow.maximum(layers, i, j);
      }
    }
    return result;
  }

  /// Maximum flows from one position after all layers to every input.
  ///
  /// @throws IllegalArgumentException if there are more than [#MOST_POSITIONS] positions
  public static double[] row(AttentionStack stack, int query) {
    AttentionFlow flow = new AttentionFlow(stack);
    double[] result = new double[flow.n];
    for (int j = 0; j < flow.n; j++) {
      result[j] = flow.maximum(stack.depth(), query, j);
    }
    return result;
  }

  /// Flows with each row divided by its sum, as the authors' program does.
  public static double[][] normalised(double[][] flow) {
    double[][] result = new double[flow.length][];
    for (int i = 0; i < flow.length; i++) {
      double sum = Arrays.stream(flow[i]).sum();
      result[i] = Arrays.stream(flow[i]).map(f -> sum == 0 ? 0 : f / sum).toArray();
    }
    return result;
  }

  /// Dinic's algorithm; nodes are (level, position), level 0 the inputs.
  private double maximum(int layers, int source, int sink) {
    left = new double[layers][n][];
    back = new double[layers][n][n];
    for (int l = 0; l < layers; l++) {
      for (int i = 0; i < n; i++) {
        left[l][i] = capacity.get(l)[i].clone();
      }
    }
    double total = 0;
    int from = layers * n + source;
    while (reaches(layers, from, sink)) {
      next = new int[(layers + 1) * n];
      double pushed = push(layers, from, sink, Double.POSITIVE_INFINITY);
      while (pushed > 0) {
        total += pushed;
        pushed = push(layers, from, sink, Double.POSITIVE_INFINITY);
      }
    }
    return total;
  }

  private boolean reaches(int layers, int from, int sink) {
    level = new int[(layers + 1) * n];
    Arrays.fill(level, -1);
    level[from] = 0;
    Deque<Integer> queue = new ArrayDeque<>(List.of(from));
    while (!queue.isEmpty()) {
      int at = queue.remove();
      for (int edge = 0; edge < 2 * n; edge++) {
        int to = target(layers, at, edge);
        if (to >= 0 && level[to] < 0 && room(at, edge) > SMALLEST) {
          level[to] = level[at] + 1;
          queue.add(to);
        }
      }
    }
    return level[sink] >= 0;
  }

  private double push(int layers, int at, int sink, double most) {
    if (at == sink) {
      return most;
    }
    for (; next[at] < 2 * n; next[at]++) {
      int edge = next[at];
      int to = target(layers, at, edge);
      if (to >= 0 && level[to] == level[at] + 1 && room(at, edge) > SMALLEST) {
        double pushed = push(layers, to, sink, Math.min(most, room(at, edge)));
        if (pushed > 0) {
          change(at, edge, pushed);
          return pushed;
        }
      }
    }
    return 0;
  }

  /// Edges 0 to n − 1 of a node go down a level, n to 2 n − 1 back up.
  private int target(int layers, int at, int edge) {
    int l = at / n;
    if (edge < n) {
      return l == 0 ? -1 : (l - 1) * n + edge;
    }
    return l == layers ? -1 : (l + 1) * n + edge - n;
  }

  private double room(int at, int edge) {
    int l = at / n;
    return edge < n ? left[l - 1][at % n][edge] : back[l][edge - n][at % n];
  }

  private void change(int at, int edge, double flow) {
    int l = at / n;
    if (edge < n) {
      left[l - 1][at % n][edge] -= flow;
      back[l - 1][at % n][edge] += flow;
    } else {
      back[l][edge - n][at % n] -= flow;
      left[l][edge - n][at % n] += flow;
    }
  }
}
