// SPDX-License-Identifier: Apache-2.0
package dev.crossover.bench.reading;

import dev.crossover.attention.ExactTarget;
import dev.crossover.attention.exact.Tiled;
import dev.crossover.bench.error.ErrorProblem;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/// Causal graphs of the same tokens under exact attention and under mechanisms, on the same queries
/// and keys and under the same mask.
///
/// @param problem tensors and mask
/// @param head the head
/// @param nodes positions of the tokens
/// @param exact exact attention
/// @param others the mechanisms that honour the mask, in the order asked for
/// @param left specs of those that do not, or that refuse the sizes
/// @param heads statistics of all heads, exact attention first
public record GraphStudy(
    ErrorProblem problem,
    int head,
    List<Integer> nodes,
    Entry exact,
    List<Entry> others,
    List<String> left,
    List<HeadRow> heads) {

  /// Statistics of one head of one attention.
  ///
  /// @param spec `exact`, or `name:param=value,…`
  /// @param head its number
  /// @param quality how far the weights are from a distribution
  /// @param statistics entropies mean nothing where the weights are no distribution
  /// @param totalVariation mean over rows of half the absolute difference from exact weights
  public record HeadRow(
      String spec,
      int head,
      ImpliedWeights.Quality quality,
      HeadStatistics statistics,
      double totalVariation) {

    private static HeadRow of(String spec, int head, double[][] weights, double[][] exact) {
      return new HeadRow(
          spec,
          head,
          ImpliedWeights.quality(weights),
          HeadStatistics.of(weights),
          Arrays.stream(ImpliedWeights.totalVariation(weights, exact)).average().orElse(0));
    }
  }

  /// One attention.
  ///
  /// @param spec `exact`, or `name:param=value,…`
  /// @param weights `[n][n]` of the head
  /// @param reading the graph
  /// @param difference edges in which it differs from that of exact attention; empty for exact
  ///     attention itself and where one of the two is missing
  public record Entry(
      String spec, double[][] weights, GraphReading reading, Optional<Pag.Difference> difference) {

    /// The graph of weights from any source, compared with nothing.
    ///
    /// @param weights `[n][m]`, exact in float32 at least
    public static Entry alone(
        String label,
        double[][] weights,
        List<Integer> nodes,
        List<String> names,
        GraphReading.Settings settings) {
      GraphReading reading =
          GraphReading.of(rows(weights, nodes), names, settings, GraphReading.FLOAT_RANK);
      return new Entry(label, weights, reading, Optional.empty());
    }
  }

  /// Reads all graphs.
  ///
  /// @param problem of at most 512 positions
  /// @param head the head, from 0
  /// @param nodes positions that become tokens of the graph, ascending
  /// @param names of those tokens
  /// @param specs mechanisms
  public static GraphStudy of(
      ErrorProblem problem,
      int head,
      List<Integer> nodes,
      List<String> names,
      List<String> specs,
      GraphReading.Settings settings) {
    int heads = problem.shape().numHeads();
    int n = problem.shape().querySeqLen();
    require(head >= 0 && head < heads, "head must be from 0 to " + (heads - 1), head);
    for (int i = 0; i < nodes.size(); i++) {
      int node = nodes.get(i);
      require(node >= 0 && node < n, "nodes must be positions from 0 to " + (n - 1), node);
      require(i == 0 || node > nodes.get(i - 1), "nodes must ascend", node);
    }
    double[][][] exactWeights = new double[heads][][];
    List<HeadRow> statistics = new ArrayList<>();
    for (int h = 0; h < heads; h++) {
      exactWeights[h] = exact(problem, h);
      statistics.add(HeadRow.of("exact", h, exactWeights[h], exactWeights[h]));
    }
    GraphReading reading =
        GraphReading.of(rows(exactWeights[head], nodes), names, settings, GraphReading.DOUBLE_RANK);
    Entry exact = new Entry("exact", exactWeights[head], reading, Optional.empty());
    List<Entry> others = new ArrayList<>();
    List<String> left = new ArrayList<>();
    for (String spec : specs) {
      Optional<ErrorProblem.Run> run = problem.run(spec);
      if (run.isEmpty()) {
        left.add(spec);
        continue;
      }
      double[][][] weights = ImpliedWeights.of(problem, run.get());
      for (int h = 0; h < heads; h++) {
        statistics.add(HeadRow.of(spec, h, weights[h], exactWeights[h]));
      }
      GraphReading own =
          GraphReading.of(rows(weights[head], nodes), names, settings, GraphReading.FLOAT_RANK);
      Optional<Pag.Difference> difference =
          own.graph()
              .flatMap(graph -> reading.graph().map(e -> graph.graph().differenceFrom(e.graph())));
      others.add(new Entry(spec, weights[head], own, difference));
    }
    return new GraphStudy(
        problem,
        head,
        List.copyOf(nodes),
        exact,
        List.copyOf(others),
        List.copyOf(left),
        List.copyOf(statistics));
  }

  private static void require(boolean holds, String rule, int value) {
    if (!holds) {
      throw new IllegalArgumentException(rule + ", but was " + value);
    }
  }

  /// The rows of some positions.
  static double[][] rows(double[][] weights, List<Integer> positions) {
    return positions.stream().map(position -> weights[position]).toArray(double[][]::new);
  }

  /// Exact weights of one head of the first batch entry, in double precision.
  private static double[][] exact(ErrorProblem problem, int head) {
    ExactTarget target = new Tiled().exactTarget(problem.shape(), problem.mask(), problem.qkv());
    double[][] q =
        matrix(
            target.query().data(),
            problem.shape().queryOffset(0, head),
            problem.shape().querySeqLen(),
            problem.shape().headDim());
    double[][] k =
        matrix(
            target.key().data(),
            problem.shape().keyOffset(0, head),
            problem.shape().keySeqLen(),
            problem.shape().keyDim());
    return WorkedExample.softmax(
        WorkedExample.scores(q, k, target.scale()), problem.mask().isCausal());
  }

  private static double[][] matrix(float[] data, int from, int rows, int columns) {
    double[][] matrix = new double[rows][columns];
    for (int i = 0; i < rows; i++) {
      for (int c = 0; c < columns; c++) {
        matrix[i][c] = data[from + i * columns + c];
      }
    }
    return matrix;
  }
}
